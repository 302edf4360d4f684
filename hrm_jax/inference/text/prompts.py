"""Encodes prompts as the tokens that a model reads."""

from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.types import Prompt


class PromptError(UserError, ValueError):
    """A prompt cannot be completed."""


class PromptTooLong(PromptError):
    """A prompt leaves no room for a completion in the model's context."""


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """Returns the tokens of a prompt, including those that begin a text and mark a hole.

    A text with a hole is `prefix mark, prefix, suffix mark, suffix, middle mark`, after which a
    model trained for it writes the middle (arXiv 2207.14255).

    Raises:
      PromptError: if the prompt has a suffix but the tokenizer has no marks, or if there would be
        no token at all.
    """
    if prompt.suffix is None:
        tokens = tokenizer.begin(prompt.prefix)
    else:
        marks = tokenizer.infilling
        if marks is None:
            raise PromptError(
                "expected a prompt without a suffix, as this tokenizer has no tokens that mark a "
                "hole; leave the suffix out, or take a model trained to fill in the middle"
            )
        prefix = tokenizer.encode(prompt.prefix)
        suffix = tokenizer.encode(prompt.suffix)
        tokens = [*tokenizer.begin(""), marks.prefix, *prefix, marks.suffix, *suffix, marks.middle]
    if not tokens:
        raise PromptError(
            "expected a prompt of at least one token, as this tokenizer has none that begins a "
            "text; write how the text begins"
        )
    return tokens
