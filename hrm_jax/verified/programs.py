"""Turns what a model wrote into a program: the rest of a text, or an answer of a conversation."""

import dataclasses
import re
from collections.abc import Callable, Sequence

from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import ASSISTANT, Message
from hrm_jax.inference.text.requests import Request

_FENCED = re.compile(
    r"^[ \t]*(```+|~~~+)[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S
)
_PYTHON = ("python", "py", "python3")


@dataclasses.dataclass(frozen=True)
class Continued:
    """A text that is to be gone on from; the program is all of it.

    Attributes:
      request: of one candidate; it ends with the block that it begins in.
    """

    request: Request

    def program(self, text: str) -> str:
        """Returns the program of a candidate."""
        return self.request.prompt.prefix + text + (self.request.prompt.suffix or "")

    def mend(self, text: str, failure: str) -> Request | None:
        """Returns None: a text can be gone on from, but not talked about."""
        del text, failure
        return None


@dataclasses.dataclass(frozen=True)
class Conversed:
    """A conversation that asks for a program; the program is the code of the answer.

    Attributes:
      request: of one candidate.
      messages: the turns that its prompt was made of.
      conversation: makes a prompt of turns.
    """

    request: Request
    messages: Sequence[Message]
    conversation: Callable[[Sequence[Message]], Prompt]

    def program(self, text: str) -> str:
        """Returns the program of a candidate."""
        return code_in(text)

    def mend(self, text: str, failure: str) -> Request | None:
        """Returns the request of a candidate that mends another one.

        Args:
          text: the other one.
          failure: what is wrong with it.
        """
        asked = (
            f"This code is wrong: {failure}\n\n"
            "Say in one sentence why, then write all of the code again, corrected, in one block."
        )
        # The wrong answer stays in the conversation, so that the model sees what is criticised.
        turns = (
            *self.messages,
            {"role": ASSISTANT, "content": text},
            {"role": "user", "content": asked},
        )
        return dataclasses.replace(self.request, prompt=self.conversation(turns))


def wanted(
    request: Request,
    messages: Sequence[Message] | None,
    conversation: Callable[[Sequence[Message]], Prompt],
) -> Continued | Conversed:
    """Returns what turns candidates into programs.

    Args:
      request: of one candidate.
      messages: the turns that its prompt was made of; None for a text to go on from, which ends
        with its block unless there is text behind it.
      conversation: makes a prompt of turns.
    """
    if messages is not None:
        return Conversed(request, messages, conversation)
    is_rest = request.prompt.suffix is None
    return Continued(dataclasses.replace(request, one_block=is_rest))


def code_in(answer: str) -> str:
    """Returns the code of an answer: its fenced blocks of Python, or of no language, or all of it.

    A last block may be open. Blocks of other languages are left out.
    """
    blocks = [(kind.lower(), code) for _, kind, code in _FENCED.findall(answer)]
    # Blocks of no language count where none is of Python.
    for kinds in (_PYTHON, ("",)):
        found = [code for kind, code in blocks if kind in kinds]
        if found:
            return "\n".join(found)
    return answer
