"""A batch that is read as columns is the batch that protobuf reads."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_chassis.violations import InvalidArgument
from dmp_stats.api.batch_columns import COLUMNS, parse_request
from dmp_stats.api.convert import batch_from_request
from dmp_stats.domain.cells import Batch
from tests.stats.service import QUICK, Event, batch_of

NUMBERS = st.one_of(st.integers(0, 1), st.integers(0, 127), st.integers(0, 300), st.integers(0, 2**32 - 1))
TIMES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**56), st.sampled_from([0, -1, 127, 128, 2**56 - 1])
)


def read(data: bytes, *, as_columns: bool) -> Batch | list[str]:
    """The batch, or what is wrong with it."""
    try:
        return batch_from_request(parse_request(data, columns_from_bytes=0 if as_columns else 2**40))
    except InvalidArgument as error:
        return sorted(f"{each.field}: {each.description}" for each in error.violations)


def assert_read_alike(data: bytes) -> None:
    by_columns, by_protobuf = read(data, as_columns=True), read(data, as_columns=False)
    if isinstance(by_protobuf, list) or isinstance(by_columns, list):
        assert by_columns == by_protobuf
        return
    assert (by_columns.batch_id, by_columns.texts) == (by_protobuf.batch_id, by_protobuf.texts)
    for name in (*COLUMNS, "event_keys"):
        np.testing.assert_array_equal(getattr(by_columns, name), getattr(by_protobuf, name))


def encoded(batch: accepted_batch_pb2.AcceptedBatch) -> bytes:
    return pb.ApplyBatchRequest(batch=batch).SerializeToString()


@pytest.mark.parametrize("count", [0, 1, 40, 3_000])
def test_batches_of_all_sizes(count: int) -> None:
    rnd = random.Random(count)
    events = [
        Event(
            event_id=f"{number}",
            at=rnd.choice([0.000_001, 127.0, 1_770_757_800.5, 4_102_444_800.0]),
            type=rnd.choice(["impression", "click", "view"]),
            campaign=f"c{rnd.randrange(200)}" if rnd.random() < 0.9 else "",
            user=f"u{rnd.randrange(2_000)}",
        )
        for number in range(count)
    ]
    assert_read_alike(encoded(batch_of(events)))
    assert isinstance(read(encoded(batch_of(events)), as_columns=True), Batch)


@QUICK
@given(st.data())
def test_any_numbers_in_any_number(data: st.DataObject) -> None:
    """Whatever stands there is read, or refused, as protobuf would have it: columns of other lengths too."""
    size = data.draw(st.integers(0, 6))

    def column(numbers: st.SearchStrategy[int]) -> list[int]:
        length = data.draw(st.sampled_from([size] * 8 + [size + 1, max(0, size - 1)]))
        return data.draw(st.lists(numbers, min_size=length, max_size=length))

    batch = accepted_batch_pb2.AcceptedBatch(
        batch_id="01a21668-5fcd-7b99-87b6-1a3e5b8771d6",
        texts=["", *(f"t{number}" for number in range(data.draw(st.sampled_from([3, 400]))))],
        event_ids=[str(number) for number in range(size)],
        event_keys=bytes(16 * size),
        occurred_at_us=column(TIMES),
        types=column(NUMBERS),
        sources=column(NUMBERS),
        campaigns=column(NUMBERS),
        creatives=column(NUMBERS),
        users=column(NUMBERS),
        counts_as=column(st.integers(0, 3)),
    )
    assert_read_alike(encoded(batch))


def test_other_encodings_of_the_same_batch() -> None:
    """A column may come in several parts, or its numbers one by one; unknown fields are passed over."""
    events = [Event(event_id=f"{number}", at=1_770_757_800, campaign=f"c{number}", user="u") for number in range(300)]
    whole = batch_of(events)
    first, second = accepted_batch_pb2.AcceptedBatch(), accepted_batch_pb2.AcceptedBatch()
    first.CopyFrom(whole)
    for name in COLUMNS:
        getattr(second, name).extend(getattr(first, name)[150:])
        del getattr(first, name)[150:]
    split = encoded(first) + encoded(second)
    assert pb.ApplyBatchRequest.FromString(split).batch == whole
    assert_read_alike(split)
    assert isinstance(read(split, as_columns=True), Batch)
    del whole.counts_as[:]
    body = whole.SerializeToString() + b"\x60\x01" * 300 + b"\xf8\x07\x05"
    one_by_one = b"\x0a" + varint(len(body)) + body
    assert list(pb.ApplyBatchRequest.FromString(one_by_one).batch.counts_as) == [1] * 300
    assert_read_alike(one_by_one)
    assert isinstance(read(one_by_one, as_columns=True), Batch)


@QUICK
@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_requests_are_read_as_protobuf_reads_them(noise: bytes, place: int) -> None:
    good = encoded(batch_of([Event(event_id=f"{n}", at=1_770_757_800, campaign="c", user="u") for n in range(5)]))
    data = good[:place] + noise + good[place + len(noise) :]
    try:
        pb.ApplyBatchRequest.FromString(data)
    except DecodeError:
        # What is packed wrongly is found when the column is decoded.
        try:
            request = parse_request(data, columns_from_bytes=0)
        except DecodeError:
            return
        with pytest.raises(InvalidArgument):
            batch_from_request(request)
    else:
        assert_read_alike(data)


def varint(number: int) -> bytes:
    encoded_number = b""
    while number > 127:
        encoded_number += bytes([number & 127 | 128])
        number >>= 7
    return encoded_number + bytes([number])


def test_a_request_without_a_batch_says_what_is_missing() -> None:
    for as_columns in (True, False):
        problems: Any = read(b"", as_columns=as_columns)
        assert [problem.partition(":")[0] for problem in problems] == ["batch.batch_id", "batch.texts"]
