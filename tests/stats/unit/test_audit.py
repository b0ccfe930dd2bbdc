"""What an audit reads of the rollup's cells: how many events of each campaign, minute and type, and which."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_stats.domain.audit import Fingerprint, digest_words, fingerprints_of, is_empty
from dmp_stats.domain.cells import Cells

Row = tuple[str, int, str, str, int, int]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["c1", "c2"]),
        st.integers(0, 5),
        st.sampled_from(["click", "view"]),
        st.sampled_from(["web", "app"]),
        st.integers(0, 9),
        st.integers(0, 2**128 - 1),
    ),
    max_size=8,
)


def cells(rows: list[Row]) -> Cells:
    """Cells of campaign, minute, type, source, count and digest."""
    texts = ["", *sorted({text for row in rows for text in (row[0], row[2], row[3])})]
    columns = [np.array([texts.index(str(row[place])) for row in rows], np.int64) for place in (0, 2, 3)]
    return Cells(
        texts=texts,
        campaigns=columns[0],
        minutes=np.array([row[1] for row in rows], np.int64),
        types=columns[1],
        counts_as=np.zeros(len(rows), np.int64),
        sources=columns[2],
        creatives=np.zeros(len(rows), np.int64),
        counts=np.array([row[4] for row in rows], np.int64),
        digests=digest_words([row[5].to_bytes(16, "big") for row in rows]),
    )


@given(st.lists(ROWS, max_size=3), st.integers(0, 3), st.integers(2, 6))
def test_fingerprints_are_sums_and_xors_over_sources_and_parts(parts: list[list[Row]], first: int, last: int) -> None:
    expected: dict[tuple[str, int, str], tuple[int, int]] = {}
    for campaign, minute, kind, _, count, digest in (row for rows in parts for row in rows):
        if first <= minute <= last:
            counted, xor = expected.get((campaign, minute, kind), (0, 0))
            expected[campaign, minute, kind] = (counted + count, xor ^ digest)
    found = fingerprints_of([cells(rows) for rows in parts], first=first, last=last)
    assert {key: (one.count, int.from_bytes(one.digest, "big")) for key, one in found.items()} == expected


@pytest.mark.parametrize(
    ("count", "digest", "empty"),
    [(0, bytes(16), True), (1, bytes(16), False), (0, bytes(15) + b"\x01", False), (-1, bytes(16), False)],
)
def test_only_a_cell_without_events_and_keys_is_empty(count: int, digest: bytes, empty: bool) -> None:
    assert is_empty(Fingerprint(count=count, digest=digest)) is empty


def test_digests_are_two_words_each_of_the_first_bytes_first() -> None:
    words = digest_words([bytes(7) + b"\x01" + bytes(7) + b"\x02", b"\xff" * 16])
    assert words.tolist() == [[1, 2], [2**64 - 1, 2**64 - 1]]
    assert digest_words([]).shape == (0, 2)


def test_a_digest_of_another_length_is_no_digest() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Fingerprint(count=1, digest=bytes(16)).plus(Fingerprint(count=1, digest=bytes(8)))
