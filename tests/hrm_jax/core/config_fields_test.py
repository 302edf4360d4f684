"""What fields declare is what their values are held to, whichever way a config is made."""

import dataclasses
import functools
import math
import pickle
from typing import Any, Literal

import jax
import pytest

from hrm_jax.core import config as config_lib
from hrm_jax.core.config import ConfigError, check, configclass, field
from hrm_jax.core.config_fields import own_fields


@configclass
class Part:
    size: int = field(4, help="how much", at_least=1)
    name: str = ""


@configclass
class Bounded:
    """One field for each constraint, and for each kind of type that it meets."""

    low: int = field(8, help="how many", at_least=1)
    above: float = field(0.5, more_than=0)
    high: float = field(0.5, at_most=1, remedy="1 turns it off")
    below: float = field(0.5, less_than=1)
    share: float = field(0.5, at_least=0, at_most=1)
    decay: float = field(0.5, at_least=0, less_than=1)
    even: int = field(2, multiple_of=2)
    even_and_high: int = field(6, multiple_of=2, at_least=4)
    letter: str = field("a", one_of=("a", "b"))
    optional: int | None = field(None, at_least=1)
    mode: Literal["on", "off"] = field("on", remedy="off is usual")
    some_mode: Literal["on"] | None = None
    number_or_auto: int | Literal["auto"] = field("auto", at_least=1)
    counts: tuple[int, ...] = field((), at_least=0)
    rates: tuple[float, float] = field((0.5, 0.5), more_than=0, remedy="0.5 is usual")
    letters: tuple[str, ...] = field((), one_of=("a", "b"))
    modes: tuple[Literal["on", "off"], ...] = ()
    parts: tuple[Part, ...] = field((Part(),), nonempty=True, remedy="add one")
    part: Part = Part()
    rate: float = 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 0}, "low: expected 1 or more, got 0; set 1 or more"),
        ({"above": 0.0}, "above: expected more than 0, got 0.0; set more than 0"),
        ({"high": 1.5}, "high: expected at most 1, got 1.5; 1 turns it off"),
        ({"below": 1.0}, "below: expected less than 1, got 1.0; set less than 1"),
        ({"share": -0.5}, "share: expected 0 to 1, got -0.5; set 0 to 1"),
        ({"share": 1.5}, "share: expected 0 to 1, got 1.5; set 0 to 1"),
        ({"decay": 1.0}, "decay: expected 0 or more and less than 1, got 1.0; set 0 or more and "
         "less than 1"),
        ({"even": 3}, "even: expected a multiple of 2, got 3; set a multiple of 2"),
        ({"even_and_high": 2}, "even_and_high: expected a multiple of 2 and 4 or more, got 2; set "
         "a multiple of 2 and 4 or more"),
        ({"letter": "c"}, "letter: expected one of 'a', 'b', got 'c'; set one of these"),
        ({"optional": 0}, "optional: expected 1 or more, got 0; set 1 or more"),
        ({"mode": "of"}, "mode: expected one of 'on', 'off', got 'of' (str); off is usual"),
        ({"some_mode": "off"}, "some_mode: expected one of 'on' or None, got 'off' (str)"),
        ({"number_or_auto": 0}, "number_or_auto: expected 1 or more, got 0; set 1 or more"),
        ({"number_or_auto": "of"}, "number_or_auto: expected int or one of 'auto', got 'of' (str); "
         "set 1 or more"),
        ({"counts": (1, -1)}, "counts[1]: expected 0 or more, got -1; set 0 or more"),
        ({"rates": (0.5, 0.0)}, "rates[1]: expected more than 0, got 0.0; 0.5 is usual"),
        ({"rates": (0.5,)}, "rates: expected tuple[float, float], got (0.5,) (tuple); 0.5 is "
         "usual"),
        ({"letters": ("a", "c")}, "letters[1]: expected one of 'a', 'b', got 'c'; set one of "
         "these"),
        ({"modes": ("of",)}, "modes[0]: expected one of 'on', 'off', got 'of' (str)"),
        ({"parts": ()}, "parts: expected one or more, got (); add one"),
        ({"low": None}, "low: expected int, got None (NoneType); set 1 or more"),
        ({"low": 1.5}, "low: expected int, got 1.5 (float); set 1 or more"),
        ({"low": True}, "low: expected int, got True (bool); set 1 or more"),
        ({"above": math.inf}, "above: expected a finite float, got inf (float); set more than 0"),
        ({"above": math.nan}, "above: expected a finite float, got nan (float); set more than 0"),
        ({"rate": math.nan}, "rate: expected a finite float, got nan (float)"),
        ({"part": 3}, "part: expected Part, got 3 (int)"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_the_same_words_wherever_it_comes_from(fields, message):
    def assert_refused(make, path):
        with pytest.raises(ConfigError) as caught:
            make()
        assert str(caught.value) == path + message

    assert_refused(lambda: Bounded(**fields), "")
    assert_refused(lambda: dataclasses.replace(Bounded(), **fields), "")
    assert_refused(lambda: config_lib.replace(Bounded(), fields), "")
    assert_refused(lambda: config_lib.from_dict(Holder, {"inner": fields}), "inner.")
    assert_refused(lambda: config_lib.from_dict(Holder, {"more": [{}, fields]}), "more[1].")
    prefixed = {f"inner.{name}": value for name, value in fields.items()}
    assert_refused(lambda: config_lib.replace(Holder(), prefixed), "inner.")


@configclass
class Holder:
    inner: Bounded = Bounded()
    more: tuple[Bounded, ...] = field((), remedy="not about what is inside")


@pytest.mark.parametrize(
    "fields",
    [
        {"low": 1},
        {"above": 1e-30},
        {"high": 1.0},
        {"below": -5.0},
        {"share": 0.0},
        {"share": 1.0},
        {"decay": 0.0},
        {"even": 0},
        {"even": -4},
        {"even_and_high": 4},
        {"optional": None},
        {"optional": 1},
        {"number_or_auto": 1},
        {"number_or_auto": "auto"},
        {"some_mode": None},
        {"counts": (0, 7)},
        {"letters": ("b", "a")},
        {"modes": ("off", "on")},
    ],
)
def test_bounds_are_where_they_say(fields):
    (name,) = fields
    config = Bounded(**fields)
    assert getattr(config, name) == fields[name]
    assert config_lib.from_json(Bounded, config_lib.to_json(config)) == config


def test_errors_inside_a_field_keep_their_own_remedy():
    with pytest.raises(ConfigError) as caught:
        config_lib.replace(Bounded(), {"parts": [{"size": 0}]})
    assert str(caught.value) == "parts[0].size: expected 1 or more, got 0; set 1 or more"
    with pytest.raises(ConfigError) as caught:
        config_lib.from_dict(Bounded, {"parts": [{"sise": 1}]})
    assert str(caught.value) == "parts[0].sise: unknown field; the nearest is parts.size"


def test_construction_stores_what_the_annotation_says():
    given: Any = {"above": 1, "counts": [1, 2], "part": {"size": 2}, "parts": [{"name": "x"}]}
    config = Bounded(**given)
    assert type(config.above) is float
    assert (config.counts, config.part, config.parts) == ((1, 2), Part(2), (Part(name="x"),))
    assert hash(config) == hash(Bounded(above=1.0, counts=(1, 2), part=Part(2), parts=config.parts))


def test_configs_are_frozen_equal_by_value_and_static_under_jit():
    assert Bounded(low=3) == Bounded(low=3) != Bounded(low=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Bounded().low = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert pickle.loads(pickle.dumps(Bounded(low=3))) == Bounded(low=3)
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def scaled(config, x):
        traced.append(config)
        return config.low * x

    assert scaled(Bounded(low=3), 2.0) == scaled(Bounded(low=3), 2.0) == 6
    assert scaled(Bounded(low=4), 2.0) == 8
    assert traced == [Bounded(low=3), Bounded(low=4)]


@configclass
class Base:
    count: int = field(1, at_least=1)

    def __post_init__(self):
        check(self.count != 13, "count", expected="luck", got=self.count, remedy="set 12")


@configclass
class Inheriting(Base):
    share: float = field(0.5, at_most=1)


@configclass
class Overriding(Base):
    count: int = field(2, at_least=2)
    limit: int = 20

    def __post_init__(self):
        super().__post_init__()
        check(self.count < self.limit, "count", expected="< limit", got=self.count, remedy="lower")


@pytest.mark.parametrize(
    ("cls", "fields", "message"),
    [
        (Base, {"count": 0}, "count: expected 1 or more"),
        (Base, {"count": 13}, "count: expected luck"),
        (Inheriting, {"count": 0}, "count: expected 1 or more"),
        (Inheriting, {"count": 13}, "count: expected luck"),
        (Inheriting, {"share": 2.0}, "share: expected at most 1"),
        (Overriding, {"count": 1}, "count: expected 2 or more"),
        (Overriding, {"count": 13}, "count: expected luck"),
        (Overriding, {"count": 21}, "count: expected < limit"),
    ],
)
def test_a_class_has_the_constraints_and_rules_of_those_it_is_made_from(cls, fields, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        cls(**fields)
    assert Overriding().count == 2


def test_rules_of_several_fields_see_values_that_are_fine_each():
    seen = []

    @configclass
    class Watched:
        count: int = field(1, at_least=1)

        def __post_init__(self):
            seen.append(self.count)

    with pytest.raises(ConfigError):
        Watched(0)
    Watched(2)
    assert seen == [2]


def test_a_field_without_a_default_has_to_be_given():
    @configclass
    class Needy:
        count: int = field(help="how many", at_least=1)

    with pytest.raises(ConfigError, match=r"^count: expected int, got nothing; give a value"):
        config_lib.from_dict(Needy, {})
    assert Needy(3).count == 3


@pytest.mark.parametrize(
    ("annotation", "constraint", "needed"),
    [
        (str, {"at_least": 0}, "int or float"),
        (bool, {"multiple_of": 2}, "int or float"),
        (Literal[1, 2], {"less_than": 2}, "int or float"),
        (tuple[str, ...], {"more_than": 0}, "int or float"),
        (int, {"one_of": ("a",)}, "str"),
        (int, {"path_holds": "."}, "str"),
        (int | None, {"nonempty": True}, "tuple"),
    ],
)
def test_a_constraint_that_could_never_refuse_is_refused(annotation, constraint, needed):
    name = "Idle"
    cls = dataclasses.make_dataclass(name, [("x", annotation, field(**constraint))], frozen=True)
    with pytest.raises(TypeError, match=rf"^Idle\.x: expected a field of {needed} for its const"):
        own_fields(cls)


def test_declarations_are_read_once_for_each_class(monkeypatch):
    own_fields(Part)
    monkeypatch.setattr("typing.get_type_hints", None)
    assert Part(3).size == 3
    assert config_lib.replace(Part(), {"size": 5}).size == 5


def test_what_is_allowed_is_said_in_one_way():
    allowed = {leaf.path: leaf.allowed for leaf in config_lib.fields(Bounded())}
    assert allowed == {
        "low": "1 or more",
        "above": "more than 0",
        "high": "at most 1",
        "below": "less than 1",
        "share": "0 to 1",
        "decay": "0 or more and less than 1",
        "even": "a multiple of 2",
        "even_and_high": "a multiple of 2 and 4 or more",
        "letter": "one of 'a', 'b'",
        "optional": "1 or more or None",
        "mode": "one of 'on', 'off'",
        "some_mode": "one of 'on' or None",
        "number_or_auto": "one of 'auto' or 1 or more",
        "counts": "each 0 or more",
        "rates": "each more than 0",
        "letters": "each one of 'a', 'b'",
        "modes": "each one of 'on', 'off'",
        "parts": "one or more",
        "part.size": "1 or more",
        "part.name": "",
        "rate": "",
    }
