"""Languages of files."""

import pytest

from hrm_jax.data.text.languages import LANGUAGES, language_of


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("a/b.py", "", "python"),
        ("stub.pyi", "", "python"),
        ("index.MJS", "", "javascript"),
        ("App.tsx", "", "typescript"),
        ("types.d.ts", "export {}", "typescript"),
        ("qt_de.ts", '<?xml version="1.0"?>\n<TS>', None),
        ("Main.java", "", "java"),
        ("x.c", "class A;", "c"),
        ("x.C", "", "c++"),
        ("x.cc", "", "c++"),
        ("x.h", "struct a { int b; };\n#include <stdio.h>\n", "c"),
        ("x.h", "/* a class of\n class things */\nint a;", "c"),
        ("x.h", "int f(const char *class_name);", "c"),
        ("x.h", "namespace a {\nint b;\n}", "c++"),
        ("x.h", "class A {\n public:\n  int b;\n};", "c++"),
        ("x.h", "#include <vector>\n", "c++"),
        ("x.h", "template <typename T>\nT f();", "c++"),
        ("q.sql", "", "sql"),
        ("run.sh", "", "shell"),
        ("run", "#!/bin/bash -e\n", "shell"),
        ("run", "#!/usr/bin/env python3\n", "python"),
        ("run", "#! /usr/bin/env -S node --harmony\n", "javascript"),
        ("run", "#!/usr/local/bin/python2.7", "python"),
        ("run", "#!/usr/bin/perl\n", None),
        ("run", "text #!/bin/sh\n", None),
        ("LICENSE", "MIT", None),
        (".bashrc", "", "shell"),
        ("a.yml", "", "yaml"),
        ("package.json", "", "json"),
        ("main.rs", "", "rust"),
        ("main.go", "", "go"),
        ("picture.png", "#!/bin/sh\n", None),
        ("", "", None),
    ],
)
def test_language(name, text, language):
    assert language_of(name, text) == language
    assert language is None or language in LANGUAGES
