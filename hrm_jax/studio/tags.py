"""Tags that people give to runs: words in `tags.json` of a run's folder."""

import json
import pathlib
from collections.abc import Sequence

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import write_atomically
from hrm_jax.studio.folders import read_object

TAGS = "tags.json"
VERSION = 1
MOST_TAGS = 20
LONGEST_TAG = 40


class TagError(UserError, ValueError):
    """These are no tags."""


def read_tags(folder: pathlib.Path) -> list[str]:
    """Returns a run's tags, in order; what is none is left out."""
    found = read_object(folder / TAGS).get("tags")
    texts = found if isinstance(found, list) else []
    return sorted({text for text in texts if _is_tag(text)})[:MOST_TAGS]


def write_tags(folder: pathlib.Path, tags: Sequence[str]) -> None:
    """Gives a run these tags in place of those it has.

    Raises:
      TagError: there are too many, or one is too long or empty.
      OSError: the folder cannot be written.
    """
    wanted = sorted({tag.strip().lstrip("#") for tag in tags})
    wrong = [tag for tag in wanted if not _is_tag(tag)]
    if wrong or len(wanted) > MOST_TAGS:
        raise TagError(
            f"tags: expected up to {MOST_TAGS} words of up to {LONGEST_TAG} characters, got "
            f"{(wrong or wanted)[0]!r} among {len(wanted)}; leave some out, or shorten them"
        )
    content = json.dumps({"version": VERSION, "tags": wanted}, ensure_ascii=False)
    write_atomically(folder / TAGS, content + "\n")


def _is_tag(text: object) -> bool:
    return (
        isinstance(text, str) and 0 < len(text) <= LONGEST_TAG and not any(map(str.isspace, text))
    )
