"""The speculation suite's figures, of writers that write nothing."""

from experiments.benchmarks import speculation
from experiments.benchmarks.turns import Turn
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.requests import Piece, Request


class Fixed:
    """Writes one text, a token for each character."""

    def __init__(self, text: str):
        self.text = text

    def stream(self, request):
        return (Piece(0, character, 1, None) for character in self.text)


def test_a_turn_counts_all_tokens_but_the_first():
    requests = [Request(Prompt("x"))] * 2
    turn = speculation.turn_of(Fixed("abd"), requests)
    assert turn.texts == ["abd", "abd"]
    assert turn.tokens == 4


def test_ratios_are_taken_round_by_round_and_differing_texts_counted():
    turns = {0: [Turn(["a", "b"], 8, 4.0), Turn(["a", "b"], 8, 8.0)]}
    turns[7] = [Turn(["a", "c"], 8, 2.0), Turn(["a", "c"], 8, 2.0)]
    row = speculation._rows("edits", turns)[1]
    assert row["speed_ratio"] == {"median": 3, "low": 2, "high": 4}
    assert row["tokens_per_second"]["median"] == 4
    assert (row["texts_that_differ"], row["texts"]) == (1, 2)
