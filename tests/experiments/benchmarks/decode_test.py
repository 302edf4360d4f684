from experiments.benchmarks import alternate, decode


def samples(*seconds: float) -> list[alternate.Sample]:
    return [alternate.Sample(s, steps=2, page_faults=0, peak_rss_bytes=0) for s in seconds]


def test_texts_agree_up_to_the_first_difference():
    assert decode._agreed([[1, 2, 3], [1, 2, 3]]) == 3
    assert decode._agreed([[1, 2, 3], [1, 5, 3]]) == 1
    assert decode._agreed([[4], [5]]) == 0
    assert decode._agreed([[1, 2]]) == 2


def test_rates_count_tokens_and_ratios_are_taken_round_by_round():
    phases = {
        "decode": {"a": samples(2, 4), "b": samples(1, 1)},
        "prefill": {"a": samples(2, 2), "b": samples(4, 1)},
    }
    row = decode._row("b", "a", phases, prompt_tokens=10)
    assert row["decode"]["tokens_per_second"] == {"median": 2, "low": 2, "high": 2}
    assert row["decode"]["speed_ratio"] == {"median": 3, "low": 2, "high": 4}
    assert row["prefill"]["tokens_per_second"] == {"median": 12.5, "low": 5, "high": 20}
    assert row["prefill"]["speed_ratio"] == {"median": 1.25, "low": 0.5, "high": 2}
