"""Fits a suggestion into the text around the cursor, so that nothing stands there twice.

`editors/vscode/src/core/fit.ts` follows the same rule.
"""

from typing import NamedTuple

from hrm_jax.editing.brackets import closing_run, unmatched

_COUNTED = 10_000
"""Characters on each side of the cursor in which partners of brackets are looked for."""


class Fitted(NamedTuple):
    """A suggestion as it can be shown.

    Attributes:
      text: what is inserted.
      replaced: number of characters behind the cursor, on its line, that the text replaces.
    """

    text: str
    replaced: int


def fit(suggestion: str, before: str, after: str) -> Fitted | None:
    """Returns a suggestion without what it repeats of the text behind the cursor.

    Of all ways to cut what is repeated, and to write over brackets that the editor closed by
    itself, it takes the first that leaves the fewest brackets without a partner.

    Args:
      suggestion: what the model wrote.
      before: the text before the cursor.
      after: the text behind the cursor.

    Returns:
      None where nothing is left to show.
    """
    before = before[-_COUNTED:]
    after = after[:_COUNTED]
    best = Fitted("", 0)
    best_count = None
    # Only brackets behind the cursor may be written over, as an editor closes them by itself.
    for replaced in range(len(closing_run(after)) + 1):
        rest = after[replaced:]
        for text in _cuts(suggestion, rest):
            # What is written over has to come again in the text, in this order.
            if not _is_subsequence(after[:replaced], text):
                continue
            count = unmatched(before + text + rest)
            if best_count is None or count < best_count:
                best = Fitted(text, replaced)
                best_count = count
    return best if best.text.strip() else None


def fit_inserted(suggestion: str, before: str, after: str) -> str:
    """Returns as much of a suggestion as fits where nothing behind the cursor can be replaced.

    Neovim's built-in completion inserts an item's text and leaves what is behind it. The text ends
    before the bracket that would be written over. Empty where nothing is left to show.
    """
    fitted = fit(suggestion, before, after)
    if fitted is None or fitted.replaced == 0:
        return fitted.text if fitted else ""
    before = before[-_COUNTED:]
    after = after[:_COUNTED]
    # The bracket may occur several times: the text is cut where fewest lack a partner.
    ends = [at for at, character in enumerate(fitted.text) if character == after[0]]
    best = min(ends, key=lambda end: unmatched(before + fitted.text[:end] + after))
    return fitted.text[:best].rstrip()


def _cuts(suggestion: str, after: str) -> list[str]:
    """Returns a suggestion without each end of it that repeats what follows, the shortest first."""
    found = set()
    waiting = [suggestion.rstrip()]
    while waiting:
        text = waiting.pop()
        if text in found:
            continue
        found.add(text)
        # White space before what was cut goes too, after which the end may repeat something again.
        waiting.append(text[: _repeated_lines(text, after)].rstrip())
        for size in range(1, min(len(text), len(after)) + 1):
            if text.endswith(after[:size]):
                waiting.append(text[:-size].rstrip())
    return sorted(found, key=len)


def _repeated_lines(suggestion: str, after: str) -> int:
    """Returns where the lines at the end of a suggestion begin that are the document's next."""
    rest_of_line, *following = after.split("\n")
    following = _stripped(following)
    # Text behind the cursor on its own line: the suggestion's lines cannot be the next ones.
    if rest_of_line.strip() or not following:
        return len(suggestion)
    at = suggestion.find("\n")
    while at != -1:
        written = _stripped(suggestion[at:].split("\n"))
        if written and _begins_with(following, written):
            return at
        at = suggestion.find("\n", at + 1)
    return len(suggestion)


def _stripped(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _begins_with(lines: list[str], others: list[str]) -> bool:
    """Returns whether lines begin with others, of which the last may be cut off."""
    *whole, last = others
    if len(others) > len(lines) or lines[: len(whole)] != whole:
        return False
    return lines[len(whole)].startswith(last)


def _is_subsequence(part: str, whole: str) -> bool:
    characters = iter(whole)
    return all(character in characters for character in part)
