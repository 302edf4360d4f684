"""Fill-in-the-middle: a text whose middle is moved to its end (Bavarian et al. 2022).

The hole lies between two tokens drawn uniformly. It may begin within a word, but never within a
token; with bytes that is anywhere.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from hrm_jax.core.protocols import InfillingTokens, Tokenizer
from hrm_jax.core.texts import NO_PLACE, FilePlace

MOST_MARKS = 3
"""The largest number of tokens that a hole adds to a text."""
_ENDS = (
    *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>", "<|cursor|>"),
    *("<fim_pad>", "<reponame>", "<repo_name>", "<file_sep>", "<filename>", "\u2581<EOT>"),
)
"""How vocabularies name what follows the end of a file, or of what fills a hole."""
_FILE_MARKS = ("<|file_sep|>", "<|file_separator|>", "<file_sep>", "<filename>")
"""How they name what stands before a file's name."""
_PROJECT_MARKS = ("<|repo_name|>", "<repo_name>", "<reponame>")
"""How they name what stands before a project's name."""


def end_tokens(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Returns the tokens that a text ends at: its usual ends, and the marks of files and holes."""
    markers = tokenizer.markers
    ends = [markers[name].token for name in _ENDS if name in markers]
    marks = tokenizer.infilling
    # Behind a fill such a mark begins another text.
    around = () if marks is None else (marks.prefix, marks.suffix, marks.middle)
    found = [*tokenizer.eos_tokens, *ends, *(token for token in around if token is not None)]
    # Each once and in order: the usual end stays the first.
    return tuple(dict.fromkeys(found))


def around_hole(
    prefix: Sequence[int] | np.ndarray,
    suffix: Sequence[int] | np.ndarray,
    marks: InfillingTokens,
    *,
    suffix_first: bool = False,
) -> list[Sequence[int] | np.ndarray]:
    """Returns the parts of a text after which a model writes what fills its hole, marks included.

    The order is "PSM", or "SPM" where the marks have no middle, or `suffix_first` asks for it, as
    Code Llama (arXiv 2308.12950) and StarCoder (arXiv 2305.06161) were trained.

    Raises:
      ValueError: the suffix is to be first, and the model was not trained so.
    """
    if suffix_first and not marks.suffix_may_come_first:
        raise ValueError("suffix_first: expected marks of a model that was trained on both orders")
    # Codestral's order: nothing marks the middle, which the prefix leads up to.
    if marks.middle is None:
        return [[marks.suffix], suffix, [marks.prefix], prefix]
    # StarCoder's and Code Llama's form of SPM: both first marks together, then the suffix.
    if suffix_first:
        return [[marks.prefix, marks.suffix], suffix, [marks.middle], prefix]
    return [[marks.prefix], prefix, [marks.suffix], suffix, [marks.middle]]


def neighbour_tokens(
    tokenizer: Tokenizer,
    neighbours: Sequence[tuple[str, str]],
    place: FilePlace = NO_PLACE,
) -> list[list[int]]:
    """Returns the tokens of each file that stands before the one with a hole, and what is around.

    Models with marks for files (Qwen2.5-Coder, arXiv 2409.12186; StarCoder) read their names behind
    them, the project's name before all, and the path of the file with the hole behind them; others
    read the texts.

    Args:
      tokenizer: the model's.
      neighbours: names and texts of the files.
      place: where the file with the hole lies.
    """
    file_mark = _first_token(tokenizer, _FILE_MARKS)
    if file_mark is None:
        return [tokenizer.encode(f"{text}\n\n") for _, text in neighbours]
    files = [[file_mark, *tokenizer.encode(f"{name}\n{text}\n")] for name, text in neighbours]
    # The file with the hole begins as the others do, if without a name.
    if place.path or files:
        files.append([file_mark, *tokenizer.encode(f"{place.path}\n")])
    project_mark = _first_token(tokenizer, _PROJECT_MARKS)
    if place.project and files and project_mark is not None:
        files.insert(0, [project_mark, *tokenizer.encode(f"{place.project}\n")])
    return files


def _first_token(tokenizer: Tokenizer, names: Sequence[str]) -> int | None:
    markers = tokenizer.markers
    return next((markers[name].token for name in names if name in markers), None)


def draw_hole(rng: np.random.Generator, length: int) -> tuple[int, int]:
    """Returns the first token of a hole in `length` tokens and the first after it; it may be empty.

    Both ends are drawn uniformly from 0 to `length`, so the hole may also be the whole text.
    """
    first, second = sorted(rng.integers(0, length + 1, size=2).tolist())
    return first, second


def with_hole(
    tokens: Int[np.ndarray, " T"], hole: tuple[int, int], marks: InfillingTokens
) -> Int[np.ndarray, " U"]:
    """Returns a text with a hole, int [U]: `around_hole`, then the tokens within it.

    U is T and the number of marks, at most `MOST_MARKS`.

    Args:
      tokens: the text.
      hole: its first token, and the first one after it.
      marks: the special tokens.
    """
    first, second = hole
    parts = [*around_hole(tokens[:first], tokens[second:], marks), tokens[first:second]]
    return np.concatenate([np.asarray(part, tokens.dtype) for part in parts])
