"""All changes of one operator or constant in a module's text."""

import ast
import dataclasses
from collections.abc import Iterator

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_GUARDS = ("strict", "frozen", "kw_only", "cache")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
      module: its path from the repository's root.
      function: where the change is, such as `Store.save`; empty at the top of the module.
      line: where it begins, from 1.
      column: likewise in bytes, from 0.
      code: the text of that line; with the change it names a mutant that has moved.
      old: the text that is replaced.
      new: what replaces it.
    """

    module: str
    function: str
    line: int
    column: int
    code: str
    old: str
    new: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What stays as lines and functions are moved within the module."""
        place = self.column - (len(self.code) - len(self.code.lstrip()))
        return (self.module, self.function, self.code.strip(), str(place), self.old, self.new)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.function}: {self.old} -> {self.new}"

    def apply(self, text: str) -> str:
        """The module's text with the change.

        Raises:
          ValueError: the old text is not where it was.
        """
        lines = text.encode().splitlines(keepends=True)
        start = sum(map(len, lines[: self.line - 1])) + self.column
        content = text.encode()
        old = self.old.encode()
        if content[start : start + len(old)] != old:
            raise ValueError(f"{self.module}:{self.line}: expected {self.old!r}; it has changed")
        return (content[:start] + self.new.encode() + content[start + len(old) :]).decode()


def find_mutants(module: str, text: str) -> list[Mutant]:
    """All mutants of a module, given its path and text."""
    return [*_Finder(module, text).visit_all(ast.parse(text), "")]


class _Finder:
    def __init__(self, module: str, text: str):
        self._module = module
        self._text = text

    def visit_all(self, node: ast.AST, function: str) -> Iterator[Mutant]:
        """Yields the mutants of a node and of what it holds."""
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
        new = _changed(node)
        if new is not None and isinstance(node, ast.expr | ast.stmt):
            yield self._mutant(node, new, function)
        for child in _mutable_children(node):
            yield from self.visit_all(child, function)

    def _mutant(self, node: ast.expr | ast.stmt, new: ast.AST, function: str) -> Mutant:
        old = ast.get_source_segment(self._text, node)
        assert old is not None
        unparsed = ast.unparse(new)
        whole = isinstance(node, ast.Constant | ast.AugAssign)
        changed = unparsed if whole else f"({unparsed})"
        code = self._text.splitlines()[node.lineno - 1]
        return Mutant(self._module, function, node.lineno, node.col_offset, code, old, changed)


def _mutable_children(node: ast.AST) -> Iterator[ast.AST]:
    """What a node holds, without annotations, texts, and the arguments `_GUARDS`."""
    if isinstance(node, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            guard = isinstance(child, ast.keyword) and child.arg in _GUARDS
            if isinstance(child, ast.AST) and not guard:
                yield child


def _changed(node: ast.AST) -> ast.AST | None:
    """The node with its operator or constant changed; None if it has none."""
    if isinstance(node, ast.Compare):
        ops = [_COMPARISONS[type(node.ops[0])](), *node.ops[1:]]
        return ast.Compare(node.left, ops, node.comparators)
    if isinstance(node, ast.BinOp) and not _joins_text(node):
        return ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    if isinstance(node, ast.AugAssign):
        return ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(_OPERATORS[type(node.op)](), node.values)
    if isinstance(node, ast.UnaryOp):
        return node.operand
    if isinstance(node, ast.Constant):
        return _other_constant(node.value)
    return None


def _joins_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(isinstance(s, ast.JoinedStr) or _is_text(s) for s in sides)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _other_constant(value: object) -> ast.Constant | None:
    if isinstance(value, bool):
        return ast.Constant(not value)
    if isinstance(value, int):
        return ast.Constant(value + 1)
    if isinstance(value, float):
        return ast.Constant(2 * value if value else 1.0)
    return None
