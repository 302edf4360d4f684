"""Imports of Go files: those that are used."""

from hrm_jax.evaluation.judge.go_files import with_imports


def test_imports_are_those_that_are_used():
    source = (
        'package main\nimport (\n  "math"\n  "strings"\n)\nimport "own/thing"\n\n'
        "// Of strings.\nfunc f() { math.Abs(1); sort.Ints(nil); thing.Do() }\n"
    )
    assert with_imports(source) == (
        'package main\n\nimport "math"\nimport "own/thing"\nimport "sort"\n\n'
        "// Of strings.\nfunc f() { math.Abs(1); sort.Ints(nil); thing.Do() }\n"
    )


def test_a_file_without_imports_stays():
    assert with_imports("package main\n\nfunc f() {}\n") == "package main\n\n\nfunc f() {}\n"
