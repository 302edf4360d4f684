"""Encodes prompts as the tokens that a model reads."""

import itertools

from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.types import Prompt
from hrm_jax.data.text.infilling import around_hole


class PromptError(UserError, ValueError):
    """A prompt cannot be completed."""


class PromptTooLong(PromptError):
    """A prompt leaves no room for a completion in the model's context."""


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """Returns the tokens of a prompt, including those that begin a text and mark a hole.

    After a text with a hole (`around_hole`), a model trained for it writes what is in the hole.

    Raises:
      PromptError: if the prompt has a suffix but the tokenizer has no marks, or if there would be
        no token at all.
    """
    if prompt.tokens is not None:
        tokens = list(prompt.tokens)
    elif prompt.suffix is None:
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
        parts = around_hole(prefix, suffix, marks)
        tokens = [*tokenizer.begin(""), *itertools.chain.from_iterable(parts)]
    if not tokens:
        raise PromptError(
            "expected a prompt of at least one token, as this tokenizer has none that begins a "
            "text; write how the text begins"
        )
    return tokens


def marked_prompt(tokenizer: Tokenizer, text: str) -> Prompt:
    """Returns a prompt in which the names of special tokens, such as `<|im_start|>`, are tokens.

    The text must be the caller's own: what others write in it can forge markers. `bos_token` comes
    first, unless the text begins with it.
    """
    tokens = tokenizer.encode_marked(text)
    begin = tokenizer.begin("")
    if tokens[: len(begin)] != begin:
        tokens = begin + tokens
    return Prompt(text, tokens=tuple(tokens))
