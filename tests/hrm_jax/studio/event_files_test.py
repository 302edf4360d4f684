"""TensorBoard's event files as others write them, whole, growing, cut and damaged."""

import struct

import hypothesis
import pytest
import tensorboardX
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from hrm_jax.studio.event_files import EventReader
from hrm_jax.studio.series import Point


def framed(data, *, data_checksum=None, length_checksum=None):
    length = struct.pack("<Q", len(data))
    first = masked_crc32c(length) if length_checksum is None else length_checksum
    second = masked_crc32c(data) if data_checksum is None else data_checksum
    return length + struct.pack("<I", first) + data + struct.pack("<I", second)


def event(step, wall_time=1e9, **fields):
    return Event(step=step, wall_time=wall_time, **fields)


def scalar(step, value, tag="loss"):
    return event(step, summary={"value": [{"tag": tag, "simple_value": value}]})


def write(path, *parts):
    path.write_bytes(b"".join(framed(part.SerializeToString()) for part in parts))
    return EventReader(path)


def test_what_tensorboardx_writes(tmp_path):
    with tensorboardX.SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("Loss/train", 0.5, 3, walltime=1e9)
        writer.add_text("note", "<b>hello</b>", 3)
        writer.add_histogram("weights", [1.0, 2.0], 3)
        writer.add_scalar("accuracy", float("nan"), 4, walltime=1e9)
    [path] = tmp_path.iterdir()
    reader = EventReader(path)
    first, second = reader.read().points
    assert first == Point("Loss/train", 3, 1e9, 0.5)
    assert (second.name, second.step) == ("scalars/accuracy", 4)
    assert second.value != second.value
    assert reader.read() == ([], None, 0, 0)


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        ({"dtype": 1, "float_val": [0.5]}, 0.5),
        ({"dtype": 1, "tensor_content": struct.pack("<f", 0.25)}, 0.25),
        ({"dtype": 2, "tensor_content": struct.pack("<d", -1.5)}, -1.5),
        ({"dtype": 2, "double_val": [2.0]}, 2.0),
        ({"dtype": 1, "tensor_content": b"abc"}, None),
        ({"dtype": 7, "string_val": [b"text"]}, None),
        ({"dtype": 1, "float_val": [1.0], "tensor_shape": {"dim": [{"size": 1}]}}, None),
    ],
)
def test_scalars_of_the_second_version(tmp_path, tensor, value):
    summary = {"value": [{"tag": "a/b", "tensor": tensor}]}
    points = write(tmp_path / "e", event(1, summary=summary)).read().points
    assert [point.value for point in points] == ([] if value is None else [value])


def test_a_file_grows_and_a_half_written_record_is_waited_for(tmp_path):
    path = tmp_path / "e"
    whole = [framed(scalar(step, step).SerializeToString()) for step in range(3)]
    path.write_bytes(whole[0] + whole[1][:-1])
    reader = EventReader(path)
    assert [point.step for point in reader.read().points] == [0]
    assert reader.read().points == []
    path.write_bytes(b"".join(whole))
    assert [point.step for point in reader.read().points] == [1, 2]


def test_a_part_at_a_time(tmp_path):
    reader = write(tmp_path / "e", *(scalar(step, 1.0) for step in range(100)))
    found = reader.read(500)
    steps = [point.step for point in found.points]
    assert found.left_bytes > 0
    while found.left_bytes:
        found = reader.read(500)
        steps += [point.step for point in found.points]
    assert steps == list(range(100))


def test_a_damaged_record_is_passed_over_and_behind_a_damaged_length_nothing_is_found(tmp_path):
    good = framed(scalar(1, 1.0).SerializeToString())
    wrong = framed(scalar(2, 2.0).SerializeToString(), data_checksum=7)
    nonsense = framed(b"\xff\xff\xff")
    lost = framed(scalar(3, 3.0).SerializeToString(), length_checksum=7)
    path = tmp_path / "e"
    path.write_bytes(good + wrong + nonsense + good + lost + good)
    reader = EventReader(path)
    found = reader.read()
    assert [point.step for point in found.points] == [1, 1]
    assert found.damaged == 3
    assert reader.read() == ([], None, 0, 0)


def test_large_records_are_not_looked_at(tmp_path):
    path = tmp_path / "e"
    image = framed(b"x" * 200_000)
    path.write_bytes(image + framed(scalar(1, 1.0).SerializeToString()) + image[:50])
    reader = EventReader(path)
    steps = []
    for _ in range(3):
        steps += [point.step for point in reader.read(4096).points]
    assert steps == [1]


def test_a_length_beyond_all_files_ends_the_reading(tmp_path):
    length = struct.pack("<Q", 1 << 62)
    path = tmp_path / "e"
    path.write_bytes(length + struct.pack("<I", masked_crc32c(length)) + b"x" * 10_000)
    assert EventReader(path).read(4096) == ([], None, 0, 0)


def test_a_resumed_run_voids_what_came_after(tmp_path):
    reader = write(tmp_path / "e", event(7, session_log={"status": 1}), scalar(7, 1.0))
    assert reader.read().purged == 7


@hypothesis.given(st.binary(max_size=200), st.integers(0, 150), st.integers(1, 60))
def test_no_file_is_too_strange(tmp_path_factory, noise, at, cut):
    path = tmp_path_factory.getbasetemp() / "noise"
    whole = b"".join(framed(scalar(step, step).SerializeToString()) for step in range(4))
    path.write_bytes((whole[:at] + noise + whole[at:])[:-cut])
    reader = EventReader(path)
    for _ in range(3):
        assert all(isinstance(point.value, float) for point in reader.read().points)
