"""Makes of suggestions what the protocol has for them: ghost text, and items of completion."""

import re

from lsprotocol import types

from hrm_jax.editing import positions
from hrm_jax.editing.fitting import fit, fit_inserted
from hrm_jax.editing.shaping import shape_at, shaped
from hrm_jax.editing.suggesting import Gap

_DETAIL = "hrm_jax"
_WORD = re.compile(r"\w*\Z")
_SNIPPET_MARK = re.compile(r"[\\$}]")


def ghost_items(
    suggestion: str, gap: Gap, replaced: types.Range, begin_text: str
) -> list[types.InlineCompletionItem]:
    """Returns ghost text for a gap, or none where nothing is left to show.

    Args:
      suggestion: what the model wrote.
      gap: where.
      replaced: what it replaces, besides closing brackets behind it.
      begin_text: what it begins with: the end of the text before the gap.
    """
    fitted = fit(suggestion, gap.before, gap.after)
    if fitted is None:
        return []
    # Closing brackets and quotes have one unit each in all encodings.
    end = types.Position(replaced.end.line, replaced.end.character + fitted.replaced)
    span = types.Range(replaced.start, end)
    return [types.InlineCompletionItem(insert_text=begin_text + fitted.text, range=span)]


def completion_items(
    suggestion: str,
    gap: Gap,
    position: types.Position,
    *,
    max_lines: int,
    encoding: str,
    takes_snippets: bool,
) -> list[types.CompletionItem]:
    """Returns an item that inserts a text behind the word before the cursor, or none.

    Args:
      suggestion: what the model wrote.
      gap: where.
      position: the same place, in the protocol's form.
      max_lines: of the text.
      encoding: of positions.
      takes_snippets: whether the editor knows snippets.
    """
    shape = shape_at(gap.before, gap.after, max_lines)
    text = fit_inserted(shaped(suggestion, shape).text, gap.before, gap.after)
    if not text:
        return []
    word = _WORD.search(gap.before)[0]  # pyright: ignore[reportOptionalSubscript]
    start = position.character - positions.units(word, encoding)
    inserted = word + text
    text_format = types.InsertTextFormat.PlainText
    # Neovim inserts only the first word of a plain text since 0.11, and the whole of a snippet,
    # whose further lines editors indent anew.
    if takes_snippets and "\n" not in inserted:
        inserted = _SNIPPET_MARK.sub(r"\\\g<0>", inserted)
        text_format = types.InsertTextFormat.Snippet
    span = types.Range(types.Position(position.line, start), position)
    item = types.CompletionItem(
        label=(word + text).strip(),
        detail=_DETAIL,
        kind=types.CompletionItemKind.Text,
        filter_text=word + text,
        insert_text_format=text_format,
        text_edit=types.TextEdit(span, inserted),
    )
    return [item]
