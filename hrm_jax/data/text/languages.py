"""The language of a file, from its name, or from its content where the name is ambiguous."""

import re
from pathlib import PurePosixPath

_EXTENSIONS = {
    "python": "py pyi pyw",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts mts cts tsx",
    "java": "java",
    "c": "c",
    "c++": "cc cpp cxx c++ hh hpp hxx h++ ipp tpp cu cuh",
    "sql": "sql ddl dml pgsql",
    "shell": "sh bash zsh ksh bats",
    "yaml": "yaml yml",
    "json": "json jsonc webmanifest",
    "go": "go",
    "rust": "rs",
    "kotlin": "kt kts",
    "swift": "swift",
    "c#": "cs",
    "ruby": "rb rake gemspec",
    "php": "php",
    "lua": "lua",
    "html": "html htm",
    "css": "css scss less",
    "markdown": "md markdown",
    "toml": "toml",
}
LANGUAGES = tuple(_EXTENSIONS)
"""All languages that `language_of` can return."""

_BY_EXTENSION = {f".{e}": name for name, all_ in _EXTENSIONS.items() for e in all_.split()}
_BY_NAME = {
    ".bashrc": "shell",
    ".bash_profile": "shell",
    ".profile": "shell",
    ".zshrc": "shell",
    "PKGBUILD": "shell",
    "SConstruct": "python",
    "wscript": "python",
    ".clang-format": "yaml",
    ".eslintrc": "json",
    ".babelrc": "json",
    "Rakefile": "ruby",
    "Gemfile": "ruby",
}
_INTERPRETERS = {
    "python": r"python[\d.]*|pypy[\d.]*",
    "javascript": "node|nodejs|deno|bun",
    "typescript": "ts-node|tsx",
    "shell": "sh|bash|zsh|ksh|dash|ash|bats",
    "ruby": r"ruby[\d.]*",
    "php": r"php[\d.]*",
    "lua": r"lua[\d.]*|luajit",
}
_CPLUSPLUS = re.compile(
    r"^\s*(?:class|namespace)\s+\w+[^;]*$|^\s*template\s*<|^\s*(?:public|private|protected)\s*:"
    r"|\bstd::|^\s*using\s+\w+|^\s*#\s*include\s*<\w+>|\b(?:constexpr|nullptr|static_cast)\b",
    re.MULTILINE,
)
_BLOCK_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def language_of(name: str, text: str) -> str | None:
    """Returns which of `LANGUAGES` a file is in, or None.

    Args:
      name: its path, with `/` between folders.
      text: its content, or at least the first few thousand characters.
    """
    path = PurePosixPath(name)
    # On file systems that tell case apart, `.C` is C++ by convention.
    suffix = path.suffix if path.suffix == ".C" else path.suffix.lower()
    # Headers of C and C++ share `.h`. Comments are cut first, as prose may hold words such as
    # `class`.
    if suffix in (".h", ".C"):
        return "c++" if suffix == ".C" or _CPLUSPLUS.search(_BLOCK_COMMENT.sub("", text)) else "c"
    if suffix == ".ts" and text.lstrip()[:1] == "<":
        return None  # Qt's translations are XML with the name of TypeScript
    language = _BY_NAME.get(path.name) or _BY_EXTENSION.get(suffix)
    # A file with an unknown extension is something else, whatever its first line says.
    return language or (None if suffix else _by_shebang(text))


def _by_shebang(text: str) -> str | None:
    """Returns the language of a first line such as `#!/usr/bin/env python3`, or None."""
    line = text.partition("\n")[0]
    words = [word.rpartition("/")[2] for word in line[2:].split() if not word.startswith("-")]
    program = next((word for word in words if word != "env"), "")
    if not line.startswith("#!"):
        return None
    for language, pattern in _INTERPRETERS.items():
        if re.fullmatch(pattern, program):
            return language
    return None
