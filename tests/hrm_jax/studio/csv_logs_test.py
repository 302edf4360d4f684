import math

import hypothesis
import pytest
from hypothesis import strategies as st

from hrm_jax.studio.csv_logs import CsvLog


def read(tmp_path, text, name="metrics.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    points, _, damaged, _ = CsvLog(path).read()
    return [(point.name, point.step, point.value) for point in points], damaged


def test_a_column_for_each_metric(tmp_path):
    text = "epoch,step,train/loss,note,accuracy\n0,10,0.5,=1+1,\n0,20,nan,<b>,0.25\n"
    found, damaged = read(tmp_path, text)
    assert found[:2] == [("metrics/epoch", 10, 0), ("train/loss", 10, 0.5)]
    assert found[2][0] == "metrics/epoch"
    assert math.isnan(found[3][2])
    assert found[4:] == [("metrics/accuracy", 20, 0.25)]
    assert damaged == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\ufeffStep;loss\r\n1;0.5\r\n", [("m/loss", 1, 0.5)]),
        ("loss\tstep\n0.5\t3\n", [("m/loss", 3, 0.5)]),
        ("loss\n0.5\n0.25\n", [("m/loss", 1, 0.5), ("m/loss", 2, 0.25)]),
        ("Wall time,Step,Value\n1e9,7,0.5\n", [("m/value", 7, 0.5)]),
        ("curve,step,time_seconds,value\n'=x/a,1,2,3\n", [("=x/a", 1, 3)]),
        ("tag,step,value\na,x,3\na,2,x\na,2,3\n", [("m/a", 2, 3)]),
        ('step,"a, b"\n1,2\n', [("m/a, b", 1, 2)]),
        ("", []),
        ("step,loss\n1,0.", []),
    ],
)
def test_what_others_write(tmp_path, text, found):
    assert read(tmp_path, text, "m.csv") == (found, 0)


def test_damaged_rows_are_counted(tmp_path):
    found, damaged = read(tmp_path, b"step,loss\n1\n2,0.5,3\n\n\xff\xfe,1\n3,0.5\n")
    assert found == [("metrics/loss", 3, 0.5)]
    assert damaged == 2


def test_a_file_grows_and_is_replaced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("step,loss\n1,0.5\n")
    log = CsvLog(path)
    assert len(log.read()[0]) == 1
    with path.open("a") as file:
        file.write("2,0.4\n3,")
    assert [point.step for point in log.read()[0]] == [2]
    (tmp_path / "new").write_text("step,other\n9,1\n")
    (tmp_path / "new").rename(path)
    points, is_replaced, _, _ = log.read()
    assert is_replaced
    assert [(point.name, point.step) for point in points] == [("a/other", 9)]


@hypothesis.given(st.text(alphabet='step,;\t"\n0123.ab\0\r=\ud7ff', max_size=80))
def test_no_file_is_too_strange(tmp_path_factory, text):
    for _name, step, value in read(tmp_path_factory.getbasetemp(), text)[0]:
        assert isinstance(step, float)
        assert isinstance(value, float)
