"""The serve_speed suite against a small model's server."""

import dataclasses
import io

import pytest
from rich.console import Console

from experiments.benchmarks import serve_speed
from experiments.benchmarks.serve_speed import Options, Turn
from experiments.benchmarks.serving import LoadError
from hrm_jax.convert.language import save_language_model
from tests.hrm_jax.convert.language_test import LLAMA, Llama, fresh

OPTIONS = Options(
    "model",
    clients=(3,),
    rows=2,
    context=256,
    prompt_tokens=30,
    tokens=5,
    texts=1,
    rounds=1,
    settle_seconds=0.5,
)


@pytest.mark.thorough
def test_ours_is_measured_alone(tmp_path):
    save_language_model(tmp_path / "model", fresh(Llama(LLAMA)))
    options = dataclasses.replace(OPTIONS, model=str(tmp_path / "model"))
    console = Console(file=io.StringIO(), width=80)
    results = serve_speed.run(options, console)
    assert results["start_seconds"]["hrm_jax"] > 0
    assert results["clients"][3]["hrm_jax"]["tokens_per_second"][0] > 0
    assert results["first_token_beside_others_seconds"]["hrm_jax"] > 0
    text = console.file.getvalue()
    assert "left out: llama.cpp" in text
    assert "beside others" in text


def test_no_prompt_comes_twice_to_a_server(monkeypatch):
    options = dataclasses.replace(OPTIONS, clients=(8, 32), rounds=2)
    asked = {"a": [], "b": []}

    async def turn(options, url, prompts, clients):
        asked[url] += prompts
        return Turn(1, 1.0, (0.1,))

    monkeypatch.setattr(serve_speed, "_turn", turn)
    for place, count in enumerate(options.clients):
        serve_speed._in_turns(options, {"a": "a", "b": "b"}, count, place, lambda text: None)
    assert asked["a"] == asked["b"]
    assert len(set(asked["a"])) == len(asked["a"]) == 3 * (8 + 32)


def test_ratios_are_taken_within_a_round():
    ours = [Turn(100, 1.0, (0.1,)), Turn(100, 4.0, (0.3,)), Turn(100, 2.0, (0.2,))]
    llama = [Turn(100, 2.0, (0.4,)), Turn(100, 6.0, (0.4,)), Turn(100, 2.0, (0.4,))]
    figures = serve_speed._figures({"hrm_jax": ours, "llama.cpp": llama})
    assert figures["ratio"] == 1.5
    assert figures["hrm_jax"] == {
        "tokens_per_second": [100, 25, 50],
        "first_token_seconds_median": 0.2,
    }


def test_prompts_are_repeated_by_their_seed_alone():
    prompts = serve_speed._prompts(OPTIONS, 6, seed=1)
    assert prompts == serve_speed._prompts(OPTIONS, 6, seed=1)
    assert not set(prompts) & set(serve_speed._prompts(OPTIONS, 6, seed=2))
    assert {len(prompt) for prompt in prompts} == {90}


def test_a_server_that_ends_is_told(tmp_path):
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    options = dataclasses.replace(OPTIONS, model=str(model), llama_server="false")
    with (
        pytest.raises(LoadError, match="did not start"),
        serve_speed._llama_started(options),
    ):
        pass
