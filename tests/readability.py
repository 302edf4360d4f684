"""Counts what makes the code easy or hard to read; a table for each package.

    python -m tests.readability

Columns: lines; lines of tests for each line; tuple assignments `a, b = x, y` for 1,000 lines;
own-line comments in percent of lines; public functions with a docstring, and of these the
share that begins with a verb, in percent; the longest function and module, in lines.
"""

import ast
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = {
    "kernels": ("kernels/hrm_kernels", "tests/kernels"),
    "hrm_jax": ("hrm_jax", "tests/hrm_jax"),
    "experiments": ("experiments", "tests/experiments"),
}
"""Folder of each package, and of its tests."""

TRAINING_STEP = (
    "training/run training/task training/loop training/step training/state"
    " models/puzzle_model losses/act core/types"
)
"""What one reads to follow a training step: from `train` to the new state, layers left out."""

NO_VERBS = {"this", "its", "as", "always", "bytes", "rows", "axes", "is", "has", "was", "lines"}


def python_files(folder: str) -> list[pathlib.Path]:
    """Returns the modules below a folder of the repository."""
    return sorted((ROOT / folder).rglob("*.py"))


def line_count(path: pathlib.Path) -> int:
    """Returns the number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def is_packed(node: ast.AST) -> bool:
    """Returns whether a statement assigns several values to several names."""
    is_tuple = isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
    return is_tuple and isinstance(node.targets[0], ast.Tuple)


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yields functions and methods that a module shows, without properties and overloads."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
            continue
        for item in inside:
            if not isinstance(item, ast.FunctionDef) or item.name.startswith("_"):
                continue
            decorators = [ast.unparse(found) for found in item.decorator_list]
            if not any("property" in found or found == "overload" for found in decorators):
                yield item


def begins_with_verb(docstring: str) -> bool:
    """Returns whether the first word looks like a verb in the third person: `Returns`, `Reads`."""
    word = docstring.split()[0].strip(",.;:").lower()
    return re.fullmatch(r"[a-z-]+s", word) is not None and word not in NO_VERBS


def measure(folder: str, tests: str) -> list[str]:
    """Returns a package's cells of the table."""
    texts = {path: path.read_text(encoding="utf-8") for path in python_files(folder)}
    trees = [ast.parse(text) for text in texts.values()]
    lines = sum(len(text.splitlines()) for text in texts.values())
    test_lines = sum(map(line_count, python_files(tests)))
    nodes = [node for tree in trees for node in ast.walk(tree)]
    packed = sum(map(is_packed, nodes))
    comments = sum(len(re.findall(r"^\s*#", text, flags=re.MULTILINE)) for text in texts.values())
    functions = [function for tree in trees for function in public_functions(tree)]
    docstrings = [found for found in map(ast.get_docstring, functions) if found]
    verbs = sum(map(begins_with_verb, docstrings))
    spans = [n.end_lineno - n.lineno + 1 for n in nodes if isinstance(n, ast.FunctionDef)]  # pyright: ignore
    return [
        f"{lines:,}",
        f"{test_lines / lines:.2f}",
        f"{1000 * packed / lines:.1f}",
        f"{100 * comments / lines:.1f} %",
        f"{100 * len(docstrings) / len(functions):.0f} %",
        f"{100 * verbs / len(docstrings):.0f} %",
        f"{max(spans)}",
        f"{max(len(text.splitlines()) for text in texts.values())}",
    ]


def main() -> None:
    """Prints the table, and what a training step takes to read."""
    counts = ["lines", "tests", "packed", "comments", "documented", "verb-first"]
    heads = ["package", *counts, "function", "module"]
    rows = [heads, *([name, *measure(*folders)] for name, folders in PACKAGES.items())]
    for row in rows:
        print(" ".join(cell.rjust(10) for cell in row))
    step = [ROOT / f"hrm_jax/{name}.py" for name in TRAINING_STEP.split()]
    print(f"a training step: {len(step)} files, {sum(map(line_count, step)):,} lines")


if __name__ == "__main__":
    main()
