"""Licences of projects and files."""

import pytest

from hrm_jax.data.corpus import licences

MIT = """Copyright (c) 2020 A. Person

Permission is hereby granted, free of charge, to any person
obtaining a copy of this software ...
"""
GPL = """This program is free software; you can redistribute it and/or modify it under the terms
of the GNU General Public License as published by the Free Software Foundation; either version 2 of
the License, or (at your option) any later version. This program is distributed in the hope that it
will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY."""
BSD = "Redistribution and use in source and binary forms, with or without\n * modification, are"


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("mit", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT OR GPL-2.0-only", True),
        ("MIT AND GPL-2.0-only", False),
        ("(MIT OR GPL-3.0-only) AND BSD-3-Clause", True),
        ("LGPL-2.1-or-later", False),
        ("MPL-2.0", False),
        ("Proprietary", False),
        ("", False),
        ("MIT OR (", False),
    ],
)
def test_expressions(expression, permissive):
    assert licences.is_permissive(expression) is permissive


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT, "MIT"),
        (BSD + " permitted", "BSD-2-Clause"),
        (BSD + " ... Neither the name of the", "BSD-3-Clause"),
        ("Apache License\n      Version 2.0, January 2004", "Apache-2.0"),
        ("Permission to use, copy, modify, and/or distribute this software for any", "ISC"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3", "GPL-2.0-or-later"),
        ("GNU Lesser General Public License", "LGPL-2.1-or-later"),
        (MIT + "parts under the GNU General Public License", "MIT AND GPL-2.0-or-later"),
        ("Ask our sales department.", None),
    ],
)
def test_texts(text, licence):
    assert licences.licence_of_text(text) == licence


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({"package.json": '{"license": "ISC"}', "LICENSE": MIT}, "ISC"),
        ({"pyproject.toml": '[project]\nlicense = "BSD-3-Clause"\n'}, "BSD-3-Clause"),
        ({"pyproject.toml": '[project]\nlicense = {text = "MIT"}\n'}, "MIT"),
        ({"PKG-INFO": "Name: a\nLicense-Expression: MIT-0\n\nText"}, "MIT-0"),
        ({"PKG-INFO": "Name: a\nLicense: Apache-2.0\n\nText"}, "Apache-2.0"),
        ({"PKG-INFO": "Name: a\nLicense: as is\n\nText", "COPYING.md": MIT}, "MIT"),
        ({"package.json": "{broken", "pyproject.toml": "= 3", "LICENCE": MIT}, "MIT"),
        ({"package.json": "[]", "LICENSE-MIT": MIT}, "MIT"),
        ({"README": MIT}, None),
        ({}, None),
    ],
)
def test_projects(files, licence):
    assert licences.licence_of_project(files) == licence


@pytest.mark.parametrize(
    ("header", "permissive"),
    [
        ("import os", True),
        ("/* SPDX-License-Identifier: GPL-2.0-only */", False),
        ("// SPDX-License-Identifier: Apache-2.0 OR MIT\n", True),
        ("# under the terms of the GNU Lesser General Public License", False),
        ("/* Dual licensed: MIT, or GNU General Public License */", True),
        ("# under either the GNU General Public License\n# or the Apache License", True),
        (GPL, False),
        ("/* Dual licensed: a GNU General Public License, or ask our sales department */", False),
        ("\n" * 5000 + "GNU General Public License", True),  # far down: ordinary text
    ],
)
def test_headers(header, permissive):
    assert licences.header_is_permissive(header) is permissive


def test_licence_files_are_told_by_name():
    names = ["LICENSE", "licence.txt", "COPYING.LESSER", "a/LICENSE-MIT", "license_check.py"]
    assert [licences.is_licence_file(name) for name in names] == [True] * 5
    assert not licences.is_licence_file("relicense.md")
