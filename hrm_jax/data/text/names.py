"""Finds names that a program in Python uses, and that nothing in it defines."""

import builtins
import symtable
import warnings
from collections.abc import Iterator

_GIVEN = frozenset(dir(builtins)) | {"__file__", "__annotations__"}


def undefined_names(text: str) -> set[str]:
    """Returns the names that a program would look up in vain.

    Only whether a name is defined is looked at, and not when. What `import *` defines is not known.

    Raises:
      SyntaxError, ValueError: it is no program.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = symtable.symtable(text, "text.py", "exec")
    used = set()
    defined = set(_GIVEN)
    for scope in _scopes(module):
        for symbol in scope.get_symbols():
            # At the top level every name is global, also those that `symtable` calls local there.
            is_global = scope is module or symbol.is_global()
            if is_global and (symbol.is_assigned() or symbol.is_imported()):
                defined.add(symbol.get_name())
            if is_global and symbol.is_referenced():
                used.add(symbol.get_name())
    return used - defined


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)
