"""Tests as files: they import what they test from a module, which is not there yet."""

import ast
from collections.abc import Container
from typing import Any


def without_absent(tree: ast.Module, present: Container[str]) -> tuple[ast.Module, set[str]]:
    """Replaces imports of modules that are not there.

    Args:
      tree: a module of tests; it is changed.
      present: names of the modules that are there.

    Returns:
      The module, in which `from m import f as g` is `g = f`, and `f` stands for `m.f`; and the
      names that it takes from the modules that are not there.
    """
    imports = _Imports(present)
    tree = imports.visit(tree)
    # After all imports, as a module may be used above its import.
    attributes = _Attributes(imports.modules)
    tree = attributes.visit(tree)
    return ast.fix_missing_locations(tree), imports.names | attributes.names


class _Imports(ast.NodeTransformer):
    """Removes imports of modules that are not there.

    Attributes:
      names: what is imported from them.
      modules: what they are called themselves.
    """

    def __init__(self, present: Container[str]):
        self.names: set[str] = set()
        self.modules: set[str] = set()
        self._present = present

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        """Leaves the modules that are there."""
        kept = []
        for alias in node.names:
            if alias.name.partition(".")[0] in self._present:
                kept.append(alias)
            else:
                self.modules.add(alias.asname or alias.name)
        # Something has to stay, as a body may not be empty.
        return ast.Import(kept) if kept else ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """Assigns names that are imported under another name."""
        # A relative import is one of the program's own package.
        if not node.level and (node.module or "").partition(".")[0] in self._present:
            return node
        statements: list[ast.stmt] = [ast.Pass()]
        for alias in node.names:
            # Of `import *` the names are those that are defined nowhere.
            if alias.name != "*":
                self.names.add(alias.name)
            if alias.asname:
                target = ast.Name(alias.asname, ast.Store())
                statements.append(ast.Assign([target], ast.Name(alias.name, ast.Load())))
        return statements


class _Attributes(ast.NodeTransformer):
    """Makes `f` of `module.f`.

    Attributes:
      names: what is asked of the modules.
    """

    def __init__(self, modules: set[str]):
        self.names: set[str] = set()
        self._modules = modules

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replaces an attribute of one of the modules."""
        if ast.unparse(node.value) in self._modules:
            self.names.add(node.attr)
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return self.generic_visit(node)
