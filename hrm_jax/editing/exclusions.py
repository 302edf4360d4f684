"""Decides which files are never sent."""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from pathspec import GitIgnoreSpec

_RULES = ".gitignore"
_REPOSITORY = ".git"
_FOLDER_MARK = "ps_d"
"""The group by which pathspec notes that a rule has matched a folder, and so all that is in it."""

SECRETS = (
    ".env",
    ".env.*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".ssh/",
    ".gnupg/",
    ".aws/",
    ".azure/",
    ".kube/",
    ".npmrc",
    ".pypirc",
    ".netrc",
    ".git-credentials",
    ".htpasswd",
    "credentials",
    "credentials.json",
    "secrets.json",
    "secrets.yaml",
    "secrets.yml",
    "secrets.toml",
)
"""What is excluded by default; the extension for VS Code has the same list."""


class IgnoreFile(NamedTuple):
    """The rules of a `.gitignore`.

    Attributes:
      folder: where it stands, relative to the top with slashes; empty for the top itself.
      rules: its text.
    """

    folder: str
    rules: str


def is_file_excluded(path: pathlib.Path, patterns: Sequence[str]) -> bool:
    """Returns whether a file may not be sent, by patterns or its repository's `.gitignore` files.

    Of a link, the name and what it leads to count.

    Args:
      path: absolute.
      patterns: in the form of a `.gitignore`'s, whatever that says.
    """
    return any(
        is_excluded(one.relative_to(one.anchor).as_posix(), _ignore_files(one), patterns)
        for one in {path, path.resolve()}
    )


def is_excluded(path: str, ignore_files: Sequence[IgnoreFile], patterns: Sequence[str]) -> bool:
    """Returns whether a file is excluded by patterns, or ignored as git does.

    The deepest `.gitignore` decides, but for what is in a folder that is ignored. Patterns match
    whatever the case of letters: `.ENV` holds secrets too.

    Args:
      path: of the file, relative to the top, with slashes.
      ignore_files: those of the folders that it is in.
      patterns: in the form of a `.gitignore`'s.
    """
    by_patterns = _spec("\n".join(patterns).lower()).match_file(path.lower())
    return by_patterns or _is_ignored(path, ignore_files)


def _is_ignored(path: str, ignore_files: Sequence[IgnoreFile]) -> bool:
    deepest_last = sorted(ignore_files, key=lambda file: len(file.folder))
    folders = [f"{folder}/" for folder in pathlib.PurePosixPath(path).parents if folder.name]
    # Folders first: what is in one that is ignored cannot be taken back.
    return any(_decides(part, deepest_last) for part in [*reversed(folders), path])


def _decides(part: str, deepest_last: Sequence[IgnoreFile]) -> bool:
    """Returns whether the last rule about a file, or a folder with a slash behind, ignores it."""
    ignored = False
    for folder, rules in deepest_last:
        top = f"{folder}/" if folder else ""
        if part.startswith(top) and part != top:
            # A rule is about paths below the folder of its file.
            found = _decision(_spec(rules), part.removeprefix(top))
            ignored = ignored if found is None else found
    return ignored


def _decision(spec: GitIgnoreSpec, part: str) -> bool | None:
    """Returns what the last rule says that is about a part itself; None where none is.

    To git a rule such as `!build` says nothing of what is in that folder.
    """
    for pattern in reversed(list(spec.patterns)):
        found = pattern.match_file(part)
        if pattern.include is None or found is None:
            continue
        by_folder = found.match.groupdict().get(_FOLDER_MARK) is not None
        is_whole = found.match.end() == len(part)
        # `build/**` is about what is in that folder, and not about the folder.
        if not by_folder and is_whole and part.endswith("/"):
            continue
        if not by_folder or is_whole:
            return pattern.include
    return None


@functools.lru_cache(maxsize=100)
def _spec(rules: str) -> GitIgnoreSpec:
    """Returns what matches by rules; those that are none are left out, as git does."""
    lines = []
    # One line at a time, so that a line that is no rule leaves the others.
    for line in rules.splitlines():
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        lines.append(line)
    return GitIgnoreSpec.from_lines(lines)


def _ignore_files(path: pathlib.Path) -> list[IgnoreFile]:
    """Returns the rules of all folders that a file is in, up to its repository."""
    found = []
    for folder in path.parents:
        try:
            rules = (folder / _RULES).read_text(encoding="utf-8", errors="replace")
        except OSError:
            rules = ""
        name = folder.relative_to(folder.anchor).as_posix()
        found.append(IgnoreFile("" if name == "." else name, rules))
        # Above its repository's top git reads no rules.
        if (folder / _REPOSITORY).exists():
            break
    return found
