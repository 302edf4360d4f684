"""The decode suite's figures."""

from experiments.benchmarks import decode
from experiments.benchmarks.alternate import Contestant, Sample


def test_texts_agree_up_to_the_first_difference():
    assert decode._agreed([[1, 2, 3], [1, 2, 3]]) == 3
    assert decode._agreed([[1, 2, 3], [1, 5, 3]]) == 1
    assert decode._agreed([[4], [5]]) == 0
    assert decode._agreed([[1, 2]]) == 2


def test_rates_count_tokens_and_ratios_are_taken_round_by_round(monkeypatch):
    seconds = {"a": (4, 1), "b": (2, 1)}
    samples = {name: [Sample(s, 2, 0, 0) for s in own] for name, own in seconds.items()}
    monkeypatch.setattr(decode.alternate, "measure", lambda contestants, **_: samples)
    contestants = [Contestant(name, "module:function") for name in seconds]
    figures = decode.measure_phase(contestants, rounds=2, steps=2, tokens=10, report=print)
    assert figures["a"]["rounds"] == [5, 20]
    assert figures["b"]["tokens_per_second"] == {"median": 15, "low": 10, "high": 20}
    assert figures["b"]["speed_ratio"] == {"median": 1.5, "low": 1, "high": 2}
    table = decode.phases_table("title", {"decode": figures})
    columns = [list(column.cells) for column in table.columns]
    assert columns[:2] == [["decode", ""], ["a", "b"]]
    assert [column[1] for column in columns[2:]] == ["15.0 (10.0-20.0)", "1.50 (1.00-2.00)"]
