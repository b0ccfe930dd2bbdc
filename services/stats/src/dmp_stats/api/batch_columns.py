"""Reads the columns of a batch from the wire as arrays, without a Python object for each number.

Packed repeated numbers look on the wire like a field of bytes. So a batch is parsed by protobuf as a message that
declares them so, and whole columns of varints are decoded at once.
*Source:* protobuf documentation, "Encoding": packed repeated fields, which may come in several parts.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final, TypeAlias

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_stats.domain.cells import Ints

COLUMNS: Final = ("occurred_at_us", "types", "sources", "campaigns", "creatives", "users", "counts_as")

RequestColumns: TypeAlias = Any
"""An `ApplyBatchRequest` of whose batch these fields are kept: `batch_id`, `accepted_at_us`, `texts`, `event_ids` and
`event_keys` as they are, and the columns as encoded parts. Everything else is among the unknown fields, so serializing
it gives all.
"""

_MOST_BYTES: Final = 8
_GOES_ON: Final = 0x80
"""This bit of a varint's byte says that another follows."""
_UINT32: Final = 0xFFFFFFFF
_FIRST_BYTES: Final = np.array([(1 << 8 * length) - 1 for length in range(_MOST_BYTES + 1)], np.uint64)


def _request_class() -> Any:  # noqa: ANN401 -- made here
    field = descriptor_pb2.FieldDescriptorProto
    numbers = accepted_batch_pb2.AcceptedBatch.DESCRIPTOR.fields_by_name
    file = descriptor_pb2.FileDescriptorProto(name="columns.proto", package="columns", syntax="proto3")
    batch = file.message_type.add(name="Batch")
    batch.field.add(name="batch_id", number=numbers["batch_id"].number, type=field.TYPE_STRING, label=1)
    batch.field.add(name="accepted_at_us", number=numbers["accepted_at_us"].number, type=field.TYPE_INT64, label=1)
    batch.field.add(name="texts", number=numbers["texts"].number, type=field.TYPE_STRING, label=3)
    batch.field.add(name="event_ids", number=numbers["event_ids"].number, type=field.TYPE_STRING, label=3)
    batch.field.add(name="event_keys", number=numbers["event_keys"].number, type=field.TYPE_BYTES, label=1)
    for name in COLUMNS:
        batch.field.add(name=name, number=numbers[name].number, type=field.TYPE_BYTES, label=3)
    request = file.message_type.add(name="Request")
    request.field.add(name="batch", number=1, type=field.TYPE_MESSAGE, type_name=".columns.Batch", label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("columns.Request"))


_REQUEST: Final = _request_class()


def parse_request(data: bytes, *, columns_from_bytes: int = 5_000) -> RequestColumns | pb.ApplyBatchRequest:
    """An encoded `ApplyBatchRequest`; as columns if it has at least so many bytes. Raises what protobuf raises.

    For a batch of a few dozen events the calls of numpy cost more than reading the numbers one by one.
    """
    return (_REQUEST if len(data) >= columns_from_bytes else pb.ApplyBatchRequest).FromString(data)


def decoded_columns(batch: Any, size: int) -> Ints | None:  # noqa: ANN401 -- `RequestColumns.batch`
    """The columns of a batch as an array with a row for each of COLUMNS, each with `size` numbers.

    Returns None if a column has another length, or a number in a form that our encoders never write. Then the batch has
    to be parsed by protobuf, which says what is wrong.
    """
    table = np.empty((len(COLUMNS), size), np.int64)
    longer: list[int] = []
    encoded: list[bytes] = []
    for row, name in enumerate(COLUMNS):
        parts = getattr(batch, name)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if not data.isascii():
            longer.append(row)
            encoded.append(data)
        elif len(data) == size:  # every number takes one byte
            table[row] = np.frombuffer(data, np.uint8)
        else:
            return None
    if longer:
        decoded = _decoded(encoded, size)
        if decoded is None:
            return None
        table[longer] = decoded
        # As protobuf does with a number that is too large for its field.
        table[1:] &= _UINT32
    return table


def _decoded(encoded: list[bytes], size: int) -> Ints | None:
    """The varints of each column, as a row; None if one has not `size` of them, or a number takes over eight bytes."""
    together = b"".join(encoded)
    raw = np.frombuffer(together, np.uint8)
    ends = np.flatnonzero(raw < _GOES_ON)
    lengths = np.diff(ends, prepend=-1)
    column_ends = list(accumulate(map(len, encoded)))
    if (
        len(ends) != size * len(encoded)
        or not size
        or [end + 1 for end in ends[size - 1 :: size].tolist()] != column_ends
        or int(lengths.max()) > _MOST_BYTES
    ):
        return None
    # Eight bytes from where each number begins, without those behind its end.
    words = np.ndarray(len(raw), "<u8", together + bytes(_MOST_BYTES), strides=(1,))[ends - lengths + 1]
    words &= _FIRST_BYTES[lengths]
    # The lower seven bits of each byte, moved together: pairs, then pairs of pairs, then both halves.
    words = (words & 0x007F007F007F007F) | ((words & 0x7F007F007F007F00) >> 1)
    words = (words & 0x00003FFF00003FFF) | ((words & 0x3FFF00003FFF0000) >> 2)
    words = (words & 0x000000000FFFFFFF) | ((words & 0x0FFFFFFF00000000) >> 4)
    return words.astype(np.int64).reshape(len(encoded), size)
