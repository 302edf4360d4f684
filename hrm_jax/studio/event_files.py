"""Reads TensorBoard's event files, which grow: every scalar once.

A file is a row of records: length (8 bytes), checksum of the length (4), a protocol buffer, its
checksum (4). Behind a length that is damaged nothing can be found any more; a record that is
damaged alone is passed over. Of what events hold, scalars are read, as both versions of TensorFlow,
PyTorch and tensorboardX write them.
"""

import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from hrm_jax.studio.folders import open_regular
from hrm_jax.studio.lines import CHUNK_BYTES
from hrm_jax.studio.series import Point

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_LARGEST = 1 << 16
"""Bytes of a record that may hold a scalar; larger ones are images and the like."""
_FLOAT, _DOUBLE = 1, 2
"""Types of tensors in TensorFlow's enumeration."""


class NewEvents(NamedTuple):
    """What a file has more than before.

    Attributes:
      points: scalars in the order in which they were written.
      purged: the step from which on earlier points are void, as a run that was resumed says.
      damaged: number of records left out.
      left_bytes: what is there but not read yet.
    """

    points: list[Point]
    purged: int | None
    damaged: int
    left_bytes: int


class EventReader:
    """Where one reader is in one file."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._offset = 0
        self._is_lost = False

    def read(self, most_bytes: int = CHUNK_BYTES) -> NewEvents:
        """Returns the next scalars; raises OSError where the file cannot be read."""
        if self._is_lost:
            return NewEvents([], None, 0, 0)
        with open_regular(self._path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(self._offset)
            content = file.read(most_bytes)
        points: list[Point] = []
        purged = None
        damaged = 0
        at = 0
        while at + _HEADER.size <= len(content):
            length, checksum = _HEADER.unpack_from(content, at)
            if _masked(content[at : at + 8]) != checksum:
                self._is_lost = True
                return NewEvents(points, purged, damaged + 1, 0)
            begin = at + _HEADER.size
            end = begin + length + _CHECKSUM.size
            if length > _LARGEST and self._offset + end <= size:
                at = end  # which may lie behind the content: it is not looked at
                continue
            if end > len(content):
                break
            record = content[begin : end - _CHECKSUM.size]
            is_whole = _masked(record) == _CHECKSUM.unpack_from(content, end - 4)[0]
            event = _parse(record) if is_whole else None
            if event is None:
                damaged += 1
            else:
                found = list(_scalars(event))
                points += found
                purged = _purged(event, purged)
            at = end
        self._offset += at
        # Without progress a record is not written to its end yet: there is nothing to wait for now.
        has_more = at > 0 and len(content) == most_bytes
        return NewEvents(points, purged, damaged, max(0, size - self._offset) if has_more else 0)


def _masked(data: bytes) -> int:
    """Returns the checksum of data as TFRecord files have it."""
    from tensorboardX.record_writer import masked_crc32c  # it imports PyTorch where that is there

    return masked_crc32c(data)


def _parse(record: bytes) -> Any | None:
    from google.protobuf.message import DecodeError
    from tensorboardX.proto import event_pb2

    event: Any = event_pb2.Event()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        event.ParseFromString(record)
    except DecodeError:
        return None
    return event


def _purged(event: Any, before: int | None) -> int | None:
    is_start = event.HasField("session_log") and event.session_log.status == 1
    if not is_start or not event.step:
        return before
    return event.step if before is None else min(before, event.step)


def _scalars(event: Any) -> Iterator[Point]:
    for value in event.summary.value if event.HasField("summary") else ():
        number = _number(value)
        if number is not None and value.tag:
            name = value.tag if "/" in value.tag else f"scalars/{value.tag}"
            yield Point(name[:200], float(event.step), event.wall_time, number)


def _number(value: Any) -> float | None:
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return value.simple_value
    if kind != "tensor" or value.tensor.tensor_shape.dim:
        return None
    tensor = value.tensor
    if tensor.dtype == _FLOAT:
        return _one(tensor.float_val, tensor.tensor_content, "<f")
    if tensor.dtype == _DOUBLE:
        return _one(tensor.double_val, tensor.tensor_content, "<d")
    return None


def _one(values: Any, content: bytes, form: str) -> float | None:
    if len(values) == 1:
        return float(values[0])
    return struct.unpack(form, content)[0] if len(content) == struct.calcsize(form) else None
