"""Texts that are programs in Python, by `data.text.python_prefix`."""

import codecs
import dataclasses

import numpy as np
from jaxtyping import Bool

from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.python_prefix import Place, is_viable, scan
from hrm_jax.data.text.well_formed import parses
from hrm_jax.inference.text.constraints import ConstraintError
from hrm_jax.inference.text.healing import Vocabulary


@dataclasses.dataclass(frozen=True)
class PythonSyntax:
    """A text that is a program, together with what it goes on from.

    Attributes:
      after_prompt: whether the program begins with the prompt. Else the text is one of its own, as
        the answer of a chat.
    """

    after_prompt: bool = True

    def rules(self, prompt: Prompt, vocabulary: Vocabulary) -> "PythonRules":
        """Returns the rules of a text after a prompt.

        Raises:
          ConstraintError: no program begins with the prompt, or there is text behind it.
        """
        del vocabulary
        if prompt.suffix is not None:
            raise ConstraintError(
                "expected a prompt without a hole to write Python by its syntax, got text behind "
                "one; leave out the suffix, or the constraint"
            )
        prefix = prompt.prefix if self.after_prompt else ""
        if not is_viable(_with_line_ends(prefix)):
            raise ConstraintError(
                "expected a prompt with which a program in Python may begin, got "
                f"{_shortened(prefix)!r}, which has an error in its syntax; mend it, or leave the "
                "constraint out"
            )
        return PythonRules(prefix)


class PythonRules:
    """The rules of a text that goes on from a program's beginning; see `constraints.Rules`."""

    def __init__(self, prefix: str):
        """Takes the text before, with which a program may begin."""
        self._prefix = prefix
        self._certain = 0
        # A place within a text, and that text up to it: what is longer is scanned from there.
        self._line = Place()
        self._scanned = ""

    def is_viable(self, text: bytes) -> bool:
        """Returns whether a program may begin so."""
        try:
            # Incrementally, as a text may end within a character, which is then left out.
            written = codecs.getincrementaldecoder("utf-8")().decode(text)
        except UnicodeDecodeError:
            return False
        program = _with_line_ends(self._prefix + written)
        return is_viable(program, self._scan(program))

    def is_complete(self, text: bytes) -> bool:
        """Returns whether it is a program."""
        try:
            return parses(self._prefix + text.decode())
        except UnicodeDecodeError:
            return False

    def next_tokens(self, text: bytes) -> Bool[np.ndarray, " V"] | None:
        """Returns None."""
        del text
        return None

    def certain(self, text: bytes) -> int:
        """Returns the length up to the last line with which a statement is complete."""
        line_end = text.rfind(b"\n")
        # Parsed only where it ends further on than what is certain already.
        if line_end > self._certain and self.is_complete(text[:line_end]):
            self._certain = line_end
        return min(self._certain, len(text))

    def _scan(self, program: str) -> Place:
        # After tokens were taken back the scan starts again.
        is_longer = program.startswith(self._scanned)
        found = scan(program, self._line if is_longer else None)
        self._line = found.line
        self._scanned = program[: found.line.at]
        return found.end


def _with_line_ends(text: str) -> str:
    """Returns a text with the line ends of Unix, as Python reads others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]}...{text[-15:]}"
