"""Tells whether a project, or a file in it, is under a permissive licence.

Licences are SPDX expressions. A project's is read from its metadata, or recognized in the text of
its licence file by a sentence that is typical of each licence. A file may state another one at its
top. Extra: `codegen`.
"""

import functools
import json
import re
import tomllib
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import Any

PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "Artistic-2.0",
        "BlueOak-1.0.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "HPND",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "NCSA",
        "PostgreSQL",
        "PSF-2.0",
        "Python-2.0",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "UPL-1.0",
        "WTFPL",
        "Zlib",
        "blessing",
    }
)
"""SPDX identifiers of licences that require no more than attribution."""

# Searched for in lower case, with white space and marks of comments as single spaces. A file may
# match several; all of them count.
_SENTENCES = {
    "MIT": r"permission is hereby granted, free of charge, to any person obtaining a copy",
    "BSD-3-Clause": r"redistribution and use in source and binary forms.*neither the name",
    "BSD-2-Clause": r"redistribution and use in source and binary forms(?!.*neither the name)",
    "Apache-2.0": r"apache license,? version 2\.0",
    "ISC": r"permission to use, copy, modify,? and (?:or )?distribute this software",
    "PSF-2.0": r"python software foundation license",
    "Zlib": r"altered source versions must be plainly marked",
    "Unlicense": r"free and unencumbered software released into the public domain",
    "BSL-1.0": r"boost software license",
    "CC0-1.0": r"cc0 1\.0 universal",
    # Which version it is makes no difference: none of these is permissive.
    "GPL-2.0-or-later": r"gnu general public license",
    "LGPL-2.1-or-later": r"gnu (?:lesser|library) general public license",
    "AGPL-3.0-or-later": r"gnu affero general public license",
    "MPL-2.0": r"mozilla public license",
    "EPL-2.0": r"eclipse public license",
    "CC-BY-SA-4.0": r"attribution-sharealike",
    "BUSL-1.1": r"business source license",
}
_COPYLEFT = re.compile(
    r"gnu (?:lesser |library |affero )?general public license|mozilla public license"
    r"|eclipse public license|all rights reserved\W+(?:proprietary|confidential)",
    re.IGNORECASE,
)
# A permissive licence has to be named: the GPL itself says "either version 2 of the License, or".
_CHOICE = re.compile(
    r"(?:dual.licen[sc]ed|at your option,? one of|\beither\b)"
    r".{0,200}\b(?:mit|apache|bsd|isc|zlib|boost|expat|unlicense)\b",
    re.IGNORECASE | re.DOTALL,
)
_IDENTIFIER = re.compile(r"SPDX-License-Identifier:\s*([\w.+\-() ]+?)\s*(?:\*/|-->|\"|$)", re.M)
_LICENCE_FILE = re.compile(r"(licen[sc]e|copying|unlicense)([.\-_].*)?", re.IGNORECASE)
_HEADER_CHARACTERS = 3000


def is_permissive(expression: str) -> bool:
    """Returns whether an SPDX expression can be met with licences of `PERMISSIVE` alone."""
    parsed = _parse(expression)
    return parsed is not None and _met(parsed)


def header_is_permissive(text: str) -> bool:
    """Returns whether the top of a file names only permissive licences; most files name none."""
    header = text[:_HEADER_CHARACTERS]
    identifier = _IDENTIFIER.search(header)
    if identifier:
        return is_permissive(identifier[1])
    return not _COPYLEFT.search(header) or bool(_CHOICE.search(header))


def licence_of_text(text: str) -> str | None:
    """Returns the SPDX expression of a licence file; all licences that it holds, joined by AND."""
    # Marks of comments and quotes become spaces too, so that sentences match across lines.
    plain = re.sub(r"[\s#*/\"']+", " ", text.lower())
    found = [name for name, sentence in _SENTENCES.items() if re.search(sentence, plain)]
    return " AND ".join(found) or None


def licence_of_project(files: Mapping[str, str]) -> str | None:
    """Returns the SPDX expression of a project, or None where none is recognized.

    What package metadata states has precedence over the licence file.

    Args:
      files: names and texts of the files in the project's uppermost folder, at least those that
        state a licence.
    """
    # What cannot be parsed, such as a licence's whole text, gives way to the next source.
    for read in (_of_package_json, _of_pyproject, _of_pkg_info):
        stated = read(files)
        if stated and _parse(stated) is not None:
            return stated
    texts = [text for name, text in sorted(files.items()) if is_licence_file(name)]
    return licence_of_text("\n".join(texts)) if texts else None


def is_licence_file(name: str) -> bool:
    """Returns whether a file is a licence by its name, such as `LICENSE.txt` or `COPYING`."""
    return bool(_LICENCE_FILE.fullmatch(PurePosixPath(name).name))


def _of_package_json(files: Mapping[str, str]) -> str | None:
    try:
        stated = json.loads(files.get("package.json", "{}")).get("license")
    except (ValueError, AttributeError, RecursionError):
        return None
    return stated if isinstance(stated, str) else None


def _of_pyproject(files: Mapping[str, str]) -> str | None:
    try:
        stated = tomllib.loads(files.get("pyproject.toml", "")).get("project", {}).get("license")
    except (ValueError, AttributeError, RecursionError):
        return None
    # A string by PEP 639, before that a table of `text` or `file`; the file is looked at later.
    stated = stated.get("text") if isinstance(stated, dict) else stated
    return stated if isinstance(stated, str) else None


def _of_pkg_info(files: Mapping[str, str]) -> str | None:
    headers = HeaderParser().parsestr(files.get("PKG-INFO", ""))
    return headers.get("License-Expression") or headers.get("License")


@functools.cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _parse(expression: str) -> Any | None:
    """Returns the syntax tree of an SPDX expression, or None."""
    if not expression.strip() or "\n" in expression:
        # Metadata may hold the whole text of a licence, which is no expression.
        return None
    if _licensing().validate(expression).errors:
        return None
    return _licensing().parse(expression)


def _met(node: Any) -> bool:
    """Returns whether permissive licences alone satisfy a syntax tree."""
    operator = getattr(node, "operator", "").strip()
    if operator == "OR":
        return any(map(_met, node.args))
    if operator == "AND":
        return all(map(_met, node.args))
    return str(getattr(node, "license_symbol", node).key) in PERMISSIVE  # an exception only allows
