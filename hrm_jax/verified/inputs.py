"""Makes inputs of a function, from its examples and its signature."""

import ast
import random
import string
from collections.abc import Callable, Sequence
from typing import Any

from hrm_jax.verified.examples import Example

_LONGEST = 6
_DEEPEST = 3
_RANGES = ((0, 3), (-10, 10), (0, 100), (100, 2000))
"""Of whole numbers."""
_WORDS = ("", "a", "abc", "Hello World", "racecar", "1, 2", "x1y2", "(()())", "A")


def inputs_of(
    function: ast.FunctionDef, examples: Sequence[Example], count: int, seed: int = 0
) -> list[str]:
    """Returns inputs, the source of a call's arguments each; fewer where no others are found.

    Those of the examples come first, then changed ones, then ones that the types allow.

    Args:
      function: with annotations or not; its body does not count.
      examples: of which those count that call the function with literals alone.
      count: how many are wanted.
      seed: of the random ones.
    """
    rng = random.Random(seed)
    given = [call for one in examples if (call := _call(one, function.name)) is not None]
    found = dict.fromkeys(filter(_is_literal, map(_source, given)))
    # So many tries, as small types have few values.
    for _ in range(20 * count):
        if len(found) >= count:
            break
        # Without types, examples are all there is to go by.
        if given and rng.random() < (0.5 if _is_typed(function) else 1.0):
            source = _source(_changed(rng.choice(given), rng))
        else:
            source = _source((_drawn(function, rng), {}))
        if _is_literal(source):
            found[source] = None
    return list(found)[:count]


_Call = tuple[list[Any], dict[str, Any]]


def _call(example: Example, name: str) -> _Call | None:
    """Returns the literal arguments of the first call of a function in an example, or None."""
    for node in ast.walk(ast.parse(example.source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            arguments = _arguments(node)
            if arguments is not None:
                return arguments
    return None


def _arguments(node: ast.Call) -> _Call | None:
    """Returns the arguments of a call; None where they are not literals, each on its own."""
    values: list[Any] = []
    options: dict[str, Any] = {}
    try:
        values += [ast.literal_eval(value) for value in node.args]
        for one in node.keywords:
            # Not `**options`, in place of which any number of arguments may come.
            if one.arg is None:
                return None
            options[one.arg] = ast.literal_eval(one.value)
    # TypeError: a literal that cannot be made, as of a dictionary whose keys are lists.
    except (ValueError, TypeError):
        return None
    return values, options


def _is_literal(source: str) -> bool:
    """Returns whether arguments are literals: an infinite number, for one, is written as a name."""
    node = ast.parse(f"f({source})", mode="eval").body
    return isinstance(node, ast.Call) and _arguments(node) is not None


def _source(call: _Call) -> str:
    values, options = call
    return ", ".join(
        [*map(repr, values), *(f"{name}={value!r}" for name, value in options.items())]
    )


def _changed(call: _Call, rng: random.Random) -> _Call:
    """Returns a call with one or more of its arguments changed."""
    values, options = call
    places = len(values) + len(options)
    chosen = rng.randrange(places) if places else 0

    # One argument changes in any case, the others now and then.
    def change(place: int, value: Any) -> Any:
        return _mutated(value, rng) if place == chosen or rng.random() < 0.3 else value

    changed = [change(place, value) for place, value in enumerate(values)]
    named = enumerate(options.items(), len(values))
    return changed, {name: change(place, value) for place, (name, value) in named}


def _mutated(value: Any, rng: random.Random) -> Any:
    """Returns a value of the same type that differs a little."""
    # Before `int`, of which it is a subclass.
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(
            [value + 1, value - 1, 0, 1, 2, value * 2, rng.randint(0, 2 * abs(value) + 3)]
        )
    if isinstance(value, float):
        return rng.choice([value + 0.5, -value, 0.0, value * 2, round(rng.uniform(-10, 10), 2)])
    if isinstance(value, str):
        return "".join(_mutated_items(list(value), rng, lambda: _character(value, rng)))
    if isinstance(value, list | tuple | set | frozenset):
        items = _mutated_items(list(value), rng, lambda: rng.randint(-9, 20))
        try:
            return type(value)(items)
        except TypeError:  # an item of a set that has no hash
            return value
    if isinstance(value, dict) and value:
        changed = dict(value)
        key = rng.choice(list(value))
        changed[key] = _mutated(value[key], rng)
        if rng.random() < 0.3:
            del changed[key]
        return changed
    return value


def _mutated_items(items: list[Any], rng: random.Random, new: Callable[[], Any]) -> list[Any]:
    if not items:
        return [new()]
    changed = list(items)
    place = rng.randrange(len(items))
    # Remove, repeat, shuffle or cut, with a chance of one in six each; else one item changes.
    how = rng.randrange(6)
    if how == 0:
        del changed[place]
    elif how == 1:
        changed.insert(place, items[place])
    elif how == 2:
        rng.shuffle(changed)
    elif how == 3:
        changed = changed[:place]
    elif isinstance(items[place], str) and len(items[place]) == 1:
        changed[place] = new()
    else:
        changed[place] = _mutated(items[place], rng)
    return changed


def _character(text: str, rng: random.Random) -> str:
    # Mostly characters that the text has, as it may be in a language of its own.
    return rng.choice(text) if text and rng.random() < 0.6 else rng.choice(string.ascii_letters)


def _is_typed(function: ast.FunctionDef) -> bool:
    arguments = function.args.args
    return bool(arguments) and all(one.annotation is not None for one in arguments)


def _drawn(function: ast.FunctionDef, rng: random.Random) -> list[Any]:
    """Returns arguments that the annotations allow; without one, of any of the usual types."""
    return [_of_type(one.annotation, rng, 0) for one in function.args.args]


def _of_type(annotation: ast.expr | None, rng: random.Random, depth: int) -> Any:
    """Returns a value that an annotation allows, as far as it is known."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = _parsed(annotation.value)
    if isinstance(annotation, ast.BinOp):  # `int | None`
        return _of_type(rng.choice([annotation.left, annotation.right]), rng, depth)
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return None
    # Deeper values are numbers, whatever is allowed, so that they stay small.
    if depth > _DEEPEST:
        return rng.randint(0, 9)
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        return _of_kind(_name(annotation.value), list(parts), rng, depth)
    return _of_kind(_name(annotation), [], rng, depth)


def _of_kind(kind: str, parts: list[ast.expr], rng: random.Random, depth: int) -> Any:
    def one(place: int = 0) -> Any:
        # `list[int]` has one part for all places, `dict[str, int]` one for keys and one for values.
        part = parts[min(place, len(parts) - 1)] if parts else ast.Name("int")
        return _of_type(part, rng, depth + 1)

    def many() -> list[Any]:
        return [one() for _ in range(rng.randint(0, _LONGEST))]

    if kind in ("list", "sequence", "iterable", "collection"):
        return many()
    if kind in ("set", "frozenset"):
        # Values without a hash cannot be items.
        return {value for value in many() if not isinstance(value, list | dict | set)}
    if kind == "tuple":
        of_any_length = not parts or ast.unparse(parts[-1]) == "..."
        return tuple(many() if of_any_length else map(one, range(len(parts))))
    if kind in ("dict", "mapping"):
        keys = [one(0) for _ in range(rng.randint(0, _LONGEST))]
        return {key: one(1) for key in keys if not isinstance(key, list | dict | set)}
    if kind == "optional":
        return None if rng.random() < 0.2 else one()
    if kind == "union":
        return one(rng.randrange(max(len(parts), 1)))
    simple = {
        "int": lambda: rng.randint(*rng.choice(_RANGES)),
        "float": lambda: round(rng.uniform(-10, 10), 2),
        "bool": lambda: rng.random() < 0.5,
        "str": lambda: rng.choice(_WORDS) + rng.choice(["", rng.choice(string.ascii_letters)]),
        "bytes": lambda: rng.choice(_WORDS).encode(),
    }
    if kind in simple:
        return simple[kind]()
    # The annotation is missing or unknown.
    usual = ["int", "str", "list[int]", "list[str]", "float"]
    return _of_type(_parsed(rng.choice(usual)), rng, depth + 1)


def _name(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation).rpartition(".")[2].lower()


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
