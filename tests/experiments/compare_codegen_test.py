"""The table that compares presets over seeds."""

import io

from rich.console import Console

from experiments.compare_codegen import comparison_table


def test_a_column_has_the_mean_of_the_seeds_and_their_range():
    console = Console(file=io.StringIO(), width=120)
    nano = [{"bits_per_byte": 2.0, "parse_rate": 0.5}, {"bits_per_byte": 3.0, "parse_rate": 0.75}]
    plain = [{"bits_per_byte": 2.5, "parse_rate": 0.25}] * 2
    console.print(comparison_table({"nano": nano, "plain": plain}))
    text = console.file.getvalue()
    assert "2 seeds, held-out projects" in text
    assert "2.500 (2.000 to 3.000)" in text
    assert "62.5% (50.0% to 75.0%)" in text
    assert "2.500 (2.500 to 2.500)" in text
