import io

import pytest
from rich.console import Console

pytest.importorskip("psutil", reason="needs the extra studio")

from experiments.benchmarks import studio_load


def test_a_little_load():
    options = studio_load.Options(live=2, pages=(2,), records=5000, resting=3, seconds=2)
    output = io.StringIO()
    found = studio_load.run(options, Console(file=output, width=80))
    (row,) = found["pages"]
    assert row["pages"] == 2
    assert 0 < row["share_of_a_core"] < 1
    assert 0 <= row["median_delay_seconds"] < 5
    assert found["long"]["records"] == 5000
    assert found["long"]["points"] <= 1203
    assert found["long"]["peak_is_seen"]
    assert "2 live runs, 3 at rest" in output.getvalue()
