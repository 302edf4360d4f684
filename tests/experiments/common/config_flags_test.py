import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from absl import app, flags

from experiments.common import config_flags
from hrm_jax.core.config import check, field, replace


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
            remedy="set one so that it fits the other",
        )


@dataclasses.dataclass(frozen=True)
class Ema:
    decay: float = 0.999


@dataclasses.dataclass(frozen=True)
class Config:
    model: Model = Model()
    ema: Ema | None = None
    betas: tuple[float, float] = (0.9, 0.95)
    name: str = "x"
    seed: int | None = None
    shuffle: bool = True
    description: str = ""


SMALL = replace(Config(), {"model.hidden_size": 64, "ema": Ema()})
PRESETS = {"paper": Config(description="as in the paper"), "small": SMALL}


def resolve(*arguments: str) -> Config:
    argv = ["train", *arguments]
    values = flags.FlagValues()
    defined = config_flags.define(PRESETS, "paper", flag_values=values, argv=argv)
    assert values(argv) == ["train"]
    return defined.resolve()


def test_without_flags_it_is_the_default_preset():
    assert resolve() == PRESETS["paper"]
    assert config_flags.resolve() == PRESETS["paper"]


def test_overrides_are_made_on_the_chosen_preset():
    assert resolve("--preset=small") == SMALL
    config = resolve("--config.ema.decay=0.5", "--preset=small", "--config.model.num_heads", "4")
    assert config == replace(SMALL, {"ema.decay": 0.5, "model.num_heads": 4})


@pytest.mark.parametrize(
    ("argument", "path", "value"),
    [
        ("--config.betas=(1, 0.5)", "betas", (1.0, 0.5)),
        ("--config.betas=1,0.5", "betas", (1.0, 0.5)),
        ("--config.name=3", "name", "3"),
        ("--config.seed=3", "seed", 3),
        ("--config.seed=None", "seed", None),
        ("--noconfig.shuffle", "shuffle", False),
        ("--config.shuffle=false", "shuffle", False),
        ("--config.model.activation=relu", "model.activation", "relu"),
    ],
)
def test_values_are_read_as_their_field_wants(argument, path, value):
    assert resolve(argument) == replace(PRESETS["paper"], {path: value})


def test_dependent_fields_change_together():
    config = resolve("--config.model.num_heads=7", "--config.model.hidden_size=21")
    assert config.model == Model(21, 7)


def test_flagfile(tmp_path, capsys):
    (tmp_path / "flags").write_text("--preset=small\n--config.seed=5\n")
    assert resolve(f"--flagfile={tmp_path}/flags") == replace(SMALL, {"seed": 5})
    (tmp_path / "flags").write_text("--config.sed=5\n")
    with pytest.raises(SystemExit):
        resolve(f"--flagfile={tmp_path}/flags")
    assert "the nearest is seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.model.hiden_size=3"], "error: --config.model.hiden_size: unknown field; the "
         "nearest is model.hidden_size (--help lists all fields)"),
        (["--noconfig.shufle"], "error: --config.shufle: unknown field; the nearest is shuffle "
         "(--help lists all fields)"),
        (["--config.ema={}"], "error: --config.ema: expected one field, got a config; set "
         "ema.decay (--help lists all fields)"),
        (["--config.model.num_heads=7"], "error: --config.model.num_heads: expected a divisor of "
         "hidden_size=256, got 7; set one so that it fits the other (--help lists all fields)"),
        (["--config.model.activation=gelu"], "error: --config.model.activation: expected one of "
         "'relu', 'swiglu', got 'gelu' (str) (--help lists all fields)"),
        (["--config.seed=x"], "error: --config.seed: expected int or None, got 'x' (str) "
         "(--help lists all fields)"),
        (["--config.ema.decay=1"], "error: --config.ema.decay: expected ema to be a config with "
         "fields, got None; set ema as a whole, or start from a preset that has it (--help lists "
         "all fields)"),
    ],
)  # fmt: skip
def test_leaves_with_one_line_that_says_what_is_wrong(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        resolve(*arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--preset=large", "should be one of <paper|small>"),
        ("--config.model.num_heads=x", "invalid literal for int"),
        ("--config={}", "Overriding config is not allowed"),
    ],
)
def test_flags_that_absl_refuses(argument, message):
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        resolve(argument)


def test_unknown_default_preset():
    with pytest.raises(KeyError, match="expected one of paper, small, got 'medium'"):
        config_flags.define(PRESETS, "medium", flag_values=flags.FlagValues(), argv=["train"])


def test_resolve_before_define(monkeypatch):
    monkeypatch.setattr(config_flags, "_defined", None)
    with pytest.raises(RuntimeError, match=r"call config_flags\.define"):
        config_flags.resolve()


SCRIPT = '''
"""Trains something."""
from typing import Literal
from absl import app
from experiments.common import config_flags
from hrm_jax.core.config import configclass, field

@configclass
class Config:
    rate: float = field(0.5, help="learning rate", more_than=0)
    steps: int = 100
    order: Literal["fixed", "random"] = "fixed"

config_flags.define({"paper": Config(), "short": Config(steps=3)}, default="paper")

def main(argv):
    print(config_flags.resolve())

app.run(main)
'''


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(config_flags.__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


def test_script_runs_with_flags():
    done = run_script("--preset=short", "--config.rate=0.25")
    assert done.stdout == "Config(rate=0.25, steps=3, order='fixed')\n", done.stderr


def test_script_leaves_without_a_traceback():
    done = run_script("--config.step=3")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "error: --config.step: unknown field; the nearest is steps (--help lists all fields)\n"
    )


def test_script_refuses_what_a_field_does_not_allow():
    done = run_script("--config.rate=0")
    assert done.returncode == 2
    assert done.stderr == (
        "error: --config.rate: expected more than 0, got 0.0; set more than 0 (--help lists all "
        "fields)\n"
    )


def test_help_teaches_presets_and_fields():
    text = run_script("--help").stdout
    assert "Trains something." in text
    assert "paper: the default" in text
    assert "short: steps=3" in text
    assert "--config.rate=0.5  (learning rate; more than 0)" in text
    assert "--config.steps=100\n" in text
    assert "--config.order='fixed'  (one of 'fixed', 'random')" in text


def test_help_shows_descriptions_and_cuts_long_differences():
    values = flags.FlagValues()
    presets = PRESETS | {"long": replace(SMALL, {"name": "n" * 200})}
    config_flags.define(presets, "paper", flag_values=values, argv=["train"])
    text = values["preset"].help
    assert "paper: as in the paper" in text
    assert text.endswith("nnn...")
    assert "--config.ema.decay=0.999  (only in presets that have it)" in values["config"].help


READS = {"train": ("preset", "config"), "eval": ("size", "config.model"), "solve": ("size",)}


def refuse(mode, *arguments):
    argv = ["run", *arguments]
    values = flags.FlagValues()
    flags.DEFINE_integer("size", 3, "", flag_values=values)
    defined = config_flags.define(PRESETS, "paper", flag_values=values, argv=argv)
    assert values(argv) == ["run"]
    defined.refuse_unread(mode, READS)


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("train", ["--preset=small", "--config.model.num_heads=4", "--config.seed=1"]),
        ("eval", ["--size=3", "--config.model.num_heads=4"]),
        ("solve", []),
    ],
)
def test_flags_of_the_mode_are_taken(mode, arguments):
    refuse(mode, *arguments)


@pytest.mark.parametrize(
    ("mode", "argument", "others"),
    [
        ("train", "--size=3", "eval, solve"),  # also where the value is the default
        ("eval", "--preset=small", "train"),
        ("eval", "--config.seed=1", "train"),
        ("solve", "--config.model.num_heads=4", "train, eval"),
        ("solve", "--noconfig.shuffle", "train"),
    ],
)
def test_flags_of_other_modes_are_refused(mode, argument, others):
    name = argument.removeprefix("--no").removeprefix("--").split("=")[0]
    with pytest.raises(app.UsageError, match=f"{mode} does not read --{name}, only {others} does"):
        refuse(mode, argument)
