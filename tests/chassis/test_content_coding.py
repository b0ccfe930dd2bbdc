"""Gzip bodies: every member, verified to the last byte, and never more than the limit."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmp_chassis.content_coding import CODING_HEADER, decoded_body, inflate, is_gzip
from dmp_chassis.errors import BodyDamaged, BodyTooLarge
from dmp_chassis.violations import InvalidArgument

MIB = 1024 * 1024
TEXT = b'{"event_id":"e-1"},' * 500


@given(contents=st.lists(st.binary(max_size=5_000), min_size=1, max_size=8), level=st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_all_members_are_inflated_in_order(contents: list[bytes], level: int) -> None:
    packed = b"".join(gzip.compress(content, level) for content in contents)
    assert inflate(packed, limit=50_000) == b"".join(contents)


@given(content=st.binary(min_size=1, max_size=300), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=300)
def test_no_changed_bit_gives_other_content(content: bytes, place: float, bit: int) -> None:
    packed = bytearray(gzip.compress(content, mtime=0))
    packed[int(place * len(packed))] ^= 1 << bit
    try:
        inflated = inflate(bytes(packed), limit=10_000)
    except (BodyDamaged, BodyTooLarge):
        return
    # The header has bits that say nothing about the content: time, operating system, "this is text".
    assert inflated == content


@pytest.mark.parametrize("kept", [1, 5, 9, 10, 50, -9, -8, -4, -1])
@pytest.mark.parametrize("before", [b"", gzip.compress(TEXT)])
def test_a_member_that_is_cut_short_is_damaged(before: bytes, kept: int) -> None:
    with pytest.raises(BodyDamaged):
        inflate(before + gzip.compress(TEXT)[:kept], limit=MIB)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\0",
        b"[]",
        b"not gzip at all",
        b"\x1f\x8b" + b"\xff" * 200,
        zlib.compress(TEXT),
        gzip.compress(TEXT)[:-8] + b"\0\0\0\0" + gzip.compress(TEXT)[-4:],
        gzip.compress(TEXT)[:-4] + b"\0\0\0\1",
        gzip.compress(TEXT) + b"\0",
        gzip.compress(TEXT) + b"{}",
        gzip.compress(TEXT) + gzip.compress(TEXT)[:-1],
    ],
    ids=["empty", "nul", "json", "words", "junk", "zlib", "checksum", "length", "padding", "tail", "second"],
)
def test_what_is_no_whole_gzip_is_damaged(packed: bytes) -> None:
    with pytest.raises(BodyDamaged):
        inflate(packed, limit=MIB)


@pytest.mark.parametrize("split", [0, 1, 700_000])
def test_the_limit_is_exact_over_all_members(split: int) -> None:
    content = random.Random(1).randbytes(MIB)
    packed = gzip.compress(content[:split]) + gzip.compress(content[split:])
    assert inflate(packed, limit=MIB) == content
    with pytest.raises(BodyTooLarge) as caught:
        inflate(packed, limit=MIB - 1)
    assert caught.value.limit == MIB - 1


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    bomb = gzip.compress(b" " * (256 * MIB), 1)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            inflate(bomb, limit=MIB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 * MIB


@pytest.mark.parametrize("content", [b"", b"{"])
def test_very_many_members_cost_little_until_they_are_refused(content: bytes) -> None:
    member = gzip.compress(content)
    assert inflate(member * 10_000, limit=MIB) == content * 10_000
    started = time.process_time()
    with pytest.raises(BodyDamaged):
        inflate(member * (8 * MIB // len(member)), limit=8 * MIB)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", " gzip "])
@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_a_body_is_decoded_as_the_gateway_says(coding: str, size: int) -> None:
    content = random.Random(2).randbytes(size)
    assert await decoded_body(gzip.compress(content), [(CODING_HEADER, coding)], limit=size) == content


@pytest.mark.parametrize("metadata", [(), (("content-encoding", "gzip"),), ((CODING_HEADER, "identity"),)])
async def test_a_body_without_a_coding_stays_as_it_is(metadata: tuple[tuple[str, str], ...]) -> None:
    data = gzip.compress(b"{}")
    assert await decoded_body(data, metadata, limit=len(data)) is data
    with pytest.raises(BodyTooLarge):
        await decoded_body(data, metadata, limit=len(data) - 1)


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "xgzip"])
def test_another_coding_is_refused(coding: str) -> None:
    with pytest.raises(InvalidArgument):
        is_gzip([(CODING_HEADER, coding)])
