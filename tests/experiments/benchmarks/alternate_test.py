"""The measurement protocol, with contestants that sleep and write down their turns."""

import os
import sys
import textwrap

import pytest

from experiments.benchmarks import alternate

CONTESTANTS = """
    import os, time

    def sleeper(seconds, diary=None, name=""):
        def run(steps):
            print("libraries print as they like")
            time.sleep(steps * seconds)
            if diary:
                with open(diary, "a") as file:
                    file.write(f"{name}{steps} ")
        return run

    def failing():
        def run(steps):
            raise ArithmeticError("no luck")
        return run

    def dying():
        return lambda steps: os._exit(7)

    def environment(name):
        return os.environ.get(name)
"""


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "contestants.py").write_text(textwrap.dedent(CONTESTANTS))
    return {"PYTHONPATH": str(tmp_path)}


def measure(*contestants, rounds=1, steps_per_round=1):
    return alternate.measure(
        contestants, rounds=rounds, steps_per_round=steps_per_round, warmup_steps=5
    )


def test_contestants_alternate_after_every_one_is_warm(environment, tmp_path):
    diary = tmp_path / "diary"
    contestants = [
        alternate.Contestant(
            name=name,
            function="contestants:sleeper",
            arguments={"seconds": 0.0, "diary": str(diary), "name": name},
            environment=environment,
        )
        for name in "ABC"
    ]
    samples = measure(*contestants, rounds=2, steps_per_round=3)
    assert diary.read_text() == "A5 B5 C5 A3 B3 C3 A3 B3 C3 "
    assert {name: len(turns) for name, turns in samples.items()} == {"A": 2, "B": 2, "C": 2}


def test_a_sample_holds_the_duration_and_memory_of_its_steps(environment):
    sleeper = alternate.Contestant(
        "sleeper", "contestants:sleeper", {"seconds": 0.02}, environment=environment
    )
    (sample,) = measure(sleeper, steps_per_round=4)["sleeper"]
    assert sample.steps == 4
    assert sample.seconds >= 0.08
    assert sample.seconds_per_step == sample.seconds / 4
    assert sample.peak_rss_bytes > 1e6
    assert sample.page_faults >= 0


def test_an_error_names_the_contestant_and_shows_its_traceback(environment):
    failing = alternate.Contestant("unlucky", "contestants:failing", environment=environment)
    with pytest.raises(
        alternate.ContestantError, match=r"(?s)^unlucky: .*ArithmeticError: no luck"
    ):
        measure(failing)


def test_the_end_of_a_process_is_an_error(environment):
    dying = alternate.Contestant("mortal", "contestants:dying", environment=environment)
    with pytest.raises(alternate.ContestantError, match="mortal: worker ended with exit status 7"):
        measure(dying)


def test_running_before_building_is_an_error():
    with alternate.Worker() as worker, pytest.raises(alternate.ContestantError, match="build"):
        worker.run(1)


def test_equal_names_are_refused():
    twin = alternate.Contestant("twin", "contestants:sleeper")
    with pytest.raises(ValueError, match="distinct names"):
        measure(twin, twin)


def test_only_the_stated_malloc_settings_reach_a_worker(environment, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    monkeypatch.setenv("UNRELATED_VARIABLE", "kept")
    with alternate.Worker(environment=environment) as plain:
        assert plain.call("contestants:environment", name="MALLOC_ARENA_MAX") is None
        assert plain.call("contestants:environment", name="UNRELATED_VARIABLE") == "kept"
    with alternate.Worker(environment=environment | alternate.STEADY_HEAP) as steady:
        assert steady.call("contestants:environment", name="MALLOC_ARENA_MAX") == "1"
    assert os.environ["MALLOC_ARENA_MAX"] == "3"


def test_ratios_are_taken_within_rounds():
    def turns(*seconds):
        return [alternate.Sample(s, steps=2, page_faults=0, peak_rss_bytes=0) for s in seconds]

    own = turns(2.0, 4.0, 8.0)
    reference = turns(4.0, 4.0, 24.0)
    assert alternate.step_seconds(own) == alternate.Spread(2.0, 1.0, 4.0)
    assert alternate.speed_ratio(own, reference) == alternate.Spread(2.0, 1.0, 3.0)


def test_importable_asks_the_interpreter():
    assert alternate.importable("json", sys.executable)
    assert not alternate.importable("no_such_module_anywhere")
