import pytest

from experiments.codegen.presets import PRESETS as CODE
from experiments.relations.presets import PRESETS as RELATIONS
from experiments.sudoku.presets import PRESETS as SUDOKU
from hrm_jax.core.config import fields, to_dict
from hrm_jax.studio import forms
from hrm_jax.studio.forms import Experiment, FormError


def problems(experiment, texts, preset="plain"):
    with pytest.raises(FormError) as raised:
        forms.fill(experiment, preset, texts)
    return raised.value.problems


def test_fields_have_help_choices_and_what_is_allowed(experiments):
    described = {field["path"]: field for field in forms.describe(experiments["fake"], "plain")}
    assert described["loop.steps"] == {
        "path": "loop.steps", "value": "10", "help": "steps of the run", "allowed": "1 or more",
        "type": "int", "choices": [], "fixed": False,
    }  # fmt: skip
    assert described["is_odd"]["choices"] == ["True", "False"]


def test_what_differs_is_changed_and_on_the_command_line(experiments):
    texts = {"loop.steps": "20", "rate": "0.5", "is_odd": "True", "description": "it's $HOME"}
    filled = forms.fill(experiments["fake"], "plain", texts)
    assert (filled.config.loop.steps, filled.config.is_odd) == (20, True)
    assert filled.changed == ("loop.steps", "is_odd", "description")
    line = forms.command_line(experiments["fake"], filled.flags)
    assert line == (
        "python -m tests.hrm_jax.studio.fake_run --preset=plain --config.loop.steps=20 "
        "--config.is_odd=True '--config.description=it'\"'\"'s $HOME'"
    )


def test_every_problem_is_told_by_its_field(experiments):
    found = problems(experiments["fake"], {"loop.steps": "0", "rate": "many", "sped": "1"})
    assert found["loop.steps"] == "expected 1 or more, got 0; set 1 or more"
    assert "got 'many'" in found["rate"]
    assert found["sped"].startswith("unknown field; the nearest is")


@pytest.mark.parametrize("text", ["__import__('os')", "1 +", "(" * 1000, "\0", "[1]"])
def test_texts_are_values_and_never_run(experiments, text):
    assert problems(experiments["fake"], {"loop.steps": text}).keys() == {"loop.steps"}


def test_an_unknown_preset(experiments):
    assert (
        "expected one of plain, fast, got 'slow'" in problems(experiments["fake"], {}, "slow")[""]
    )


def test_fields_that_depend_on_each_other_may_be_changed_together():
    sudoku = Experiment("sudoku", "experiments.sudoku", lambda: SUDOKU)
    texts = {"data.name": "csv", "data.train_csv": "my.csv"}
    assert forms.fill(sudoku, "minute", texts).config.data.train_csv == "my.csv"
    assert "name" in "".join(problems(sudoku, {"data.name": "csv"}, "minute"))


@pytest.mark.parametrize("preset", SUDOKU)
def test_every_value_of_a_form_reads_back_as_it_was(preset):
    for leaf in fields(SUDOKU[preset]):
        assert forms.parse(forms.as_text(leaf.value), leaf.annotation) == leaf.value, leaf.path


@pytest.mark.parametrize("presets", [SUDOKU, CODE, RELATIONS])
def test_every_field_says_what_it_is_and_what_it_may_be(presets):
    experiment = Experiment("any", "experiments.any", lambda: presets)
    for preset in presets:
        for field in forms.describe(experiment, preset):
            assert field["help"], field["path"]
            assert field["allowed"] or field["type"], field["path"]


def test_a_part_that_a_preset_has_not_cannot_be_filled_in():
    experiment = Experiment("relations", "experiments.relations", lambda: RELATIONS)
    described = {one["path"]: one for one in forms.describe(experiment, "latin")}
    assert (described["colouring"]["value"], described["colouring"]["fixed"]) == ("None", True)
    assert not described["latin.order"]["fixed"]
    flags = forms.fill(experiment, "latin", {"latin.order": "7"}).flags
    assert flags == ("--preset=latin", "--config.latin.order=7")


def test_a_run_is_recognised_by_its_configuration(experiments):
    experiments["sudoku"] = Experiment("sudoku", "experiments.sudoku", lambda: SUDOKU)
    experiments["relations"] = Experiment("relations", "experiments.relations", lambda: RELATIONS)
    # Who looks at runs does not wait until its classes are imported.
    assert forms.recognise(experiments, to_dict(SUDOKU["minute"])) == ""
    forms.load_all(experiments)
    assert forms.recognise(experiments, to_dict(SUDOKU["minute"])) == "sudoku"
    assert forms.recognise(experiments, to_dict(RELATIONS["colouring"])) == "relations"
    assert forms.recognise(experiments, {"rate": 0.5}) == "fake"
    assert forms.recognise(experiments, {"other": 1}) == ""


def test_what_is_not_installed_cannot_be_started_and_says_so(experiments):
    def load():
        raise ModuleNotFoundError("No module named 'absent'")

    experiments["other"] = Experiment("other", "experiments.other", load)
    assert [one.name for one in forms.load_all(experiments)] == ["fake"]
    told = problems(experiments["other"], {})
    assert told == {"": "other cannot be started: No module named 'absent'"}
    assert forms.recognise(experiments, {"seed": 1}) == ""
