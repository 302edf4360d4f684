"""Encodes prompts as the tokens that a model reads."""

import itertools

from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.infilling import around_hole, neighbour_tokens
from hrm_jax.inference.text.healing import Healed, Vocabulary


class PromptError(UserError, ValueError):
    """A prompt cannot be completed."""


class PromptTooLong(PromptError):
    """A prompt leaves no room for a completion in the model's context."""


def encode_prompt(
    tokenizer: Tokenizer,
    prompt: Prompt,
    vocabulary: Vocabulary | None = None,
    *,
    suffix_first: bool = False,
) -> Healed:
    """Returns the tokens of a prompt, including those that begin a text and mark a hole.

    After a text with a hole (`around_hole`), a model trained for it writes what is in the hole.
    Blank lines before the hole are left out. A tokenizer without marks for holes leaves the suffix
    out: the prefix goes on.

    Args:
      tokenizer: the model's.
      prompt: the prompt.
      vocabulary: with it, the last tokens of the text before are taken back where they may be the
        beginning of a longer one (`Vocabulary.take_back`).
      suffix_first: whether the text behind a hole comes first, for models that know that order.

    Raises:
      PromptError: if there would be no token at all.
    """
    marks = tokenizer.infilling
    if prompt.tokens is not None:
        # One token is kept, as a model has to read something.
        healed = _healed(list(prompt.tokens), prompt, vocabulary, keep=1)
    elif prompt.suffix is None or marks is None:
        healed = _healed(tokenizer.begin(prompt.prefix), prompt, vocabulary, keep=1)
    else:
        prefix = _without_blank_lines(prompt.prefix)
        healed = _healed(tokenizer.encode(prefix), prompt, vocabulary)
        suffix = tokenizer.encode(prompt.suffix)
        parts = around_hole(healed.tokens, suffix, marks, suffix_first=suffix_first)
        files = neighbour_tokens(tokenizer, prompt.neighbours, prompt.place)
        # What begins a text comes once, before the neighbouring files.
        tokens = [*tokenizer.begin(""), *itertools.chain.from_iterable([*files, *parts])]
        healed = healed._replace(tokens=tokens)
    if not healed.tokens:
        raise PromptError(
            "expected a prompt of at least one token, as this tokenizer has none that begins a "
            "text; write how the text begins"
        )
    return healed


def _without_blank_lines(text: str) -> str:
    """Returns a text without blank lines at its end; after them, models take it for finished."""
    shown = text.rstrip()
    # Of the blank end, one line end and the last line's indentation stay.
    _, line_end, last = text[len(shown) :].rpartition("\n")
    return shown + line_end + last


def _healed(
    tokens: list[int], prompt: Prompt, vocabulary: Vocabulary | None, keep: int = 0
) -> Healed:
    if vocabulary is None or prompt.ends_at_token:
        return Healed(tokens)
    return vocabulary.take_back(tokens, keep)


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
