import dataclasses
import json
import math
import pickle
from typing import Any, ClassVar, Literal

import hypothesis
import pytest
from hypothesis import strategies as st

from hrm_jax.core import config as config_lib
from hrm_jax.core.config import ConfigError, check, field


@dataclasses.dataclass(frozen=True)
class Model:
    hidden_size: int = field(256, help="D, the width")
    num_heads: int = 8
    activation: Literal["relu", "swiglu"] = "swiglu"

    def __post_init__(self):
        check(
            self.hidden_size % self.num_heads == 0,
            "num_heads",
            expected=f"a divisor of hidden_size={self.hidden_size}",
            got=self.num_heads,
            remedy="set num_heads or hidden_size so that one divides the other",
        )


@dataclasses.dataclass(frozen=True)
class Ema:
    decay: float = 0.999


@dataclasses.dataclass(frozen=True)
class Run:
    name: str
    model: Model = Model()
    ema: Ema | None = None
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    sizes: tuple[int, ...] = ()
    layers: tuple[Model, ...] = ()
    seed: int | None = None
    limit: float | int = 1
    shuffle: bool = True
    order: Literal[1, 2, "auto"] = "auto"


RUN = Run("run")
finite = st.floats(allow_nan=False, allow_infinity=False)
models = st.builds(
    lambda head_size, heads, activation: Model(head_size * heads, heads, activation),
    st.integers(1, 64),
    st.integers(1, 8),
    st.sampled_from(["relu", "swiglu"]),
)
runs = st.builds(
    Run,
    name=st.text(),
    model=models,
    ema=st.none() | st.builds(Ema, finite),
    rate=finite,
    betas=st.tuples(finite, finite),
    sizes=st.lists(st.integers()).map(tuple),
    layers=st.lists(models, max_size=2).map(tuple),
    seed=st.none() | st.integers(),
    limit=st.integers() | finite,
    shuffle=st.booleans(),
    order=st.sampled_from([1, 2, "auto"]),
)


@hypothesis.given(runs)
def test_round_trips_give_an_equal_config(run):
    assert config_lib.from_dict(Run, config_lib.to_dict(run)) == run
    again = config_lib.from_json(Run, config_lib.to_json(run))
    assert again == run
    assert type(again.limit) is type(run.limit)  # 1 == 1.0, but a resolved config says which


def test_to_dict_is_plain_json():
    plain = config_lib.to_dict(dataclasses.replace(RUN, layers=(Model(),)))
    assert plain == json.loads(json.dumps(plain))
    assert plain["betas"] == [0.9, 0.95]
    assert plain["layers"] == [{"hidden_size": 256, "num_heads": 8, "activation": "swiglu"}]


def test_from_dict_takes_ints_for_floats_lists_for_tuples_and_defaults_for_the_rest():
    run = config_lib.from_dict(Run, {"name": "a", "rate": 1, "betas": [0, 1], "sizes": [3]})
    assert run == Run("a", rate=1.0, betas=(0.0, 1.0), sizes=(3,))
    assert type(run.rate) is float


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"model": {"hiden_size": 3}}, "model.hiden_size: unknown field; the nearest is "
         "model.hidden_size"),
        ({"hidden_size": 3}, "hidden_size: unknown field; the nearest is model.hidden_size"),
        ({"ema": {"decoy": 3}}, "ema.decoy: unknown field; the nearest is ema.decay"),
        ({"model": {"num_heads": "8"}}, "model.num_heads: expected int, got '8' (str)"),
        ({"model": {"num_heads": 8.0}}, "model.num_heads: expected int, got 8.0 (float)"),
        ({"model": {"num_heads": True}}, "model.num_heads: expected int, got True (bool)"),
        ({"model": 3}, "model: expected Model, got 3 (int)"),
        ({"model": {"activation": "gelu"}}, "model.activation: expected one of 'relu', 'swiglu', "
         "got 'gelu' (str)"),
        ({"order": True}, "order: expected one of 1, 2, 'auto', got True (bool)"),
        ({"rate": "1"}, "rate: expected a finite float, got '1' (str)"),
        ({"rate": math.nan}, "rate: expected a finite float, got nan (float)"),
        ({"shuffle": 1}, "shuffle: expected bool, got 1 (int)"),
        ({"seed": "x"}, "seed: expected int or None, got 'x' (str)"),
        ({"betas": [0.9]}, "betas: expected tuple[float, float], got [0.9] (list)"),
        ({"betas": [0.9, "x"]}, "betas[1]: expected a finite float, got 'x' (str)"),
        ({"sizes": 3}, "sizes: expected tuple[int, ...], got 3 (int)"),
        ({"layers": [{}, {"num_heads": 7}]}, "layers[1].num_heads: expected a divisor of "
         "hidden_size=256, got 7; set num_heads or hidden_size so that one divides the other"),
        ({"name": ...}, "name: expected str, got nothing; give a value"),
    ],
)  # fmt: skip
def test_from_dict_names_path_expectation_and_value(mapping, message):
    mapping = {"name": "run"} | mapping
    mapping = {name: value for name, value in mapping.items() if value is not ...}
    with pytest.raises(ConfigError) as caught:
        config_lib.from_dict(Run, mapping)
    assert str(caught.value) == message


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ConfigError("a.b", "expected 1, got 2")))
    assert str(error) == "a.b: expected 1, got 2"


def test_from_json_names_broken_json():
    with pytest.raises(ConfigError, match=r"expected JSON text of a Run, got Expecting value"):
        config_lib.from_json(Run, "")


@pytest.mark.parametrize("value", [math.inf, math.nan, object(), [1], {"a": 1}])
def test_to_dict_names_what_json_cannot_hold(value):
    config: Any = dataclasses.replace(RUN, ema=Ema(value))
    with pytest.raises(ConfigError, match=r"^ema\.decay: expected a finite number, text, a bool"):
        config_lib.to_dict(config)


def test_replace_changes_dependent_fields_together():
    run = config_lib.replace(RUN, {"model.hidden_size": 21, "model.num_heads": 7, "seed": 3})
    assert run == Run("run", model=Model(21, 7), seed=3)
    assert Run("run") == RUN


def test_replace_takes_a_whole_config_and_then_fields_inside_it():
    run = config_lib.replace(RUN, {"ema.decay": 0.5, "ema": Ema(0.9), "model": {"num_heads": 4}})
    assert run == Run("run", model=Model(num_heads=4), ema=Ema(0.5))
    assert config_lib.replace(run, {"ema": None}).ema is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.num_heads": 7}, "model.num_heads: expected a divisor of hidden_size=256, got 7; "
         "set num_heads or hidden_size so that one divides the other"),
        ({"model.nun_heads": 7}, "model.nun_heads: unknown field; the nearest is model.num_heads"),
        ({"modle.num_heads": 7}, "modle.num_heads: unknown field; the nearest is model.num_heads"),
        ({"ema.decay": 1.0}, "ema.decay: expected ema to be a config with fields, got None; set "
         "ema as a whole, or start from a preset that has it"),
        ({"seed.x": 1}, "seed.x: expected seed to be a config with fields, got None; set "
         "seed as a whole, or start from a preset that has it"),
        ({"model.num_heads": 1.5}, "model.num_heads: expected int, got 1.5 (float)"),
    ],
)  # fmt: skip
def test_replace_names_path_expectation_and_value(overrides, message):
    with pytest.raises(ConfigError) as caught:
        config_lib.replace(RUN, overrides)
    assert str(caught.value) == message


def test_fields_are_flat_with_help():
    fields = {leaf.path: leaf for leaf in config_lib.fields(RUN)}
    assert fields["model.hidden_size"].value == 256
    assert fields["model.hidden_size"].help == "D, the width"
    assert fields["ema"].value is None
    assert "model" not in fields


def test_unsupported_annotation_is_named():
    @dataclasses.dataclass(frozen=True)
    class Bad:
        table: dict[str, int]

    with pytest.raises(ConfigError, match=r"^table: expected a field of type bool, int, .* got"):
        config_lib.from_dict(Bad, {"table": {}})


def test_unknown_field_of_a_config_without_fields():
    @dataclasses.dataclass(frozen=True)
    class Empty:
        pass

    with pytest.raises(ConfigError, match=r"^a: unknown field; this config has no fields"):
        config_lib.from_dict(Empty, {"a": 1})


@dataclasses.dataclass(frozen=True)
class Either:
    of: Model | Ema | None
    several: tuple[Model | Ema, ...] = ()


@pytest.mark.parametrize(
    "either", [Either(Model(8, 2)), Either(Ema(0.5), (Model(), Ema())), Either(None)]
)
def test_one_of_several_configs_comes_back_as_what_it_was(either):
    assert config_lib.from_json(Either, config_lib.to_json(either)) == either


def test_one_of_several_configs_says_which_it_is():
    assert config_lib.to_dict(Either(Ema(0.5)))["of"] == {"type": "Ema", "decay": 0.5}
    assert config_lib.replace(Either(Ema(0.5)), {"of.decay": 0.25}) == Either(Ema(0.25))


def test_a_renamed_config_keeps_its_name_in_files():
    @dataclasses.dataclass(frozen=True)
    class Renamed:
        type_in_files: ClassVar[str] = "Former"
        size: int = 1

    @dataclasses.dataclass(frozen=True)
    class Holder:
        of: Renamed | Ema

    plain = {"of": {"type": "Former", "size": 3}}
    assert config_lib.to_dict(Holder(Renamed(3))) == plain
    assert config_lib.from_dict(Holder, plain) == Holder(Renamed(3))
    with pytest.raises(ConfigError, match=r"^of\.type: expected Former or Ema, got 'Renamed'"):
        config_lib.from_dict(Holder, {"of": {"type": "Renamed"}})


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"of": {"decay": 0.5}}, r"^of\.type: expected Model or Ema, got None; name the config's"),
        ({"of": {"type": "Emma"}}, r"^of\.type: expected Model or Ema, got 'Emma'"),
        ({"of": {"type": "Ema", "decoy": 1.0}}, r"^of\.decoy: unknown field; .* of\.decay"),
    ],
)
def test_one_of_several_configs_has_to_say_so(plain, message):
    with pytest.raises(ConfigError, match=message):
        config_lib.from_dict(Either, plain)
