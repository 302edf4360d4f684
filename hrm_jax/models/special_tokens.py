"""The rule that the special tokens of a text model's config keep."""

from collections.abc import Sequence

from hrm_jax.core.config import check


def check_tokens(vocab_size: int, eos_tokens: Sequence[int], **named: int | None) -> None:
    """Checks that special tokens are in the vocabulary.

    Args:
      vocab_size: number of tokens known.
      eos_tokens: tokens that end a text.
      **named: the others by field; None where a model has none.

    Raises:
      ConfigError: a token is not in the vocabulary.
    """
    named |= {f"eos_tokens[{i}]": token for i, token in enumerate(eos_tokens)}
    for name, token in named.items():
        check(
            token is None or 0 <= token < vocab_size,
            name,
            expected=f"a token, 0 to vocab_size - 1 = {vocab_size - 1}",
            got=token,
            remedy="leave it out where there is no such token",
        )
