"""What a person may set of the language server."""

from collections.abc import Mapping
from typing import Any

from hrm_jax.core.config import ConfigError, configclass, field, from_dict
from hrm_jax.editing.exclusions import SECRETS
from hrm_jax.editing.windows import Budget, budget_of

SECTION = "hrm_jax"
"""Of an editor's configuration."""


@configclass
class Settings:
    """How suggestions are made, and what may be sent."""

    languages: tuple[str, ...] = field(
        ("*",),
        help="language identifiers, such as python, in which suggestions are made; * for all",
    )
    debounce_milliseconds: int = field(
        40, help="time without a key before the server is asked", at_least=0, at_most=5000
    )
    max_tokens: int = field(64, help="tokens of a suggestion at most", at_least=1, at_most=2048)
    max_lines: int = field(
        8, help="lines of a suggestion at most; within a line it is one", at_least=1, at_most=100
    )
    completion_lines: int = field(
        1,
        help="the same of an item of completion, of which Neovim inserts a single line alone",
        at_least=1,
        at_most=100,
    )
    max_milliseconds: int = field(
        100,
        help="time of writing after which a suggestion ends with its line; 0 for any",
        at_least=0,
        at_most=60_000,
    )
    prompt_characters: int = field(
        3000, help="characters that are sent at most", at_least=200, at_most=1_000_000
    )
    context: bool = field(
        True, help="whether parts of other documents and files are sent, a third of the characters"
    )
    exclude: tuple[str, ...] = field(
        SECRETS, help="files that are never sent, in the form of a .gitignore"
    )
    verify_attempts: int = field(
        10, help="candidates at most of write and verify", at_least=1, at_most=1000
    )
    verify_seconds: float = field(60.0, help="time for all of them", at_least=1, at_most=3600)
    verify_max_tokens: int = field(
        400, help="tokens of each of them at most", at_least=1, at_most=8192
    )

    @property
    def budget(self) -> Budget:
        """How many characters are sent."""
        return budget_of(self.prompt_characters, with_context=self.context)

    def wants(self, language: str) -> bool:
        """Returns whether suggestions are made in a language."""
        return "*" in self.languages or language in self.languages


def settings_from(*sources: object) -> Settings:
    """Returns the settings that an editor gives; of one that is given twice, the last counts.

    Args:
      sources: objects of JSON with settings, below the section's name or at once; None for none.

    Raises:
      ConfigError: one is unknown, or its value is impossible.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        # Editors differ in whether they send the section or what it holds.
        given = source.get(SECTION, source) if isinstance(source, Mapping) else source
        # Lua's empty table may be an empty list in JSON.
        given = {} if given in (None, []) else given
        if not isinstance(given, Mapping):
            raise ConfigError(
                SECTION, f"expected an object with settings, got {given!r}; see docs/editor.md"
            )
        merged |= given
    try:
        return from_dict(Settings, merged)
    except ConfigError as error:
        raise ConfigError(f"{SECTION}.{error.path}", error.problem) from error
