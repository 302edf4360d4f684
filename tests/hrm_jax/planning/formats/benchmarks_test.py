"""The best makespans known, as two collections publish them."""

import pytest

from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.benchmarks import Best, read_best


def best_of(folder, text):
    path = folder / "best.csv"
    path.write_text(text, encoding="utf-8")
    return read_best(path)


def test_both_forms_are_read(tmp_path):
    published = "instance,proven_optimal,lower_bound,makespan\na,1,7,7\nb,0,7,9\n"
    assert best_of(tmp_path, published) == {"a": Best(7, True), "b": Best(9, False)}
    best_known = "problem,optimum\na,7\nb,104..105\nc,8..8\n"
    assert best_of(tmp_path, best_known) == {
        "a": Best(7, True),
        "b": Best(105, False),
        "c": Best(8, True),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("problem,optimum\na,7\nb\n", r"best\.csv, line 3: expected whole numbers"),
        ("problem,optimum\na,soon\n", r"best\.csv, line 2: expected whole numbers"),
        ("problem,best\na,7\n", r"expected columns instance, .*, got problem, best; name"),
        ("", r"expected columns .*, got nothing"),
        ("problem,optimum\na," + "7" * 140_000, r"expected CSV, got field larger than"),
    ],
    ids=["cut", "no number", "other columns", "empty", "a field without end"],
)
def test_another_file_ends_in_a_message(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        best_of(tmp_path, text)
