"""What an audit reads of the rollups: for each campaign, minute and type how many events were counted, and which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dmp_stats.domain.cells import Cells, select_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What tells one set of events from another."""

    count: int
    """How many events there are."""
    digest: bytes
    """The XOR of their 16-byte keys."""

    def plus(self, other: Fingerprint) -> Fingerprint:
        """The fingerprint of the events of both."""
        return Fingerprint(
            count=self.count + other.count,
            digest=bytes(a ^ b for a, b in zip(self.digest, other.digest, strict=True)),
        )


Key: TypeAlias = tuple[str, int, str]
"""Campaign, minute since 1970 UTC, type."""

Fingerprints: TypeAlias = dict[Key, Fingerprint]


def fingerprints_of(parts: Iterable[Cells], *, first: int, last: int) -> Fingerprints:
    """The fingerprint of each campaign, minute and type in the minutes from `first` to `last`, both included."""
    found: Fingerprints = {}
    for part in parts:
        cells = select_cells(part, (part.minutes >= first) & (part.minutes <= last))
        digests = cells.digests.astype(">u8").tobytes()
        for row, (campaign, minute, kind, count) in enumerate(
            zip(
                *(column.tolist() for column in (cells.campaigns, cells.minutes, cells.types, cells.counts)),
                strict=True,
            )
        ):
            key = (cells.texts[campaign], minute, cells.texts[kind])
            one = Fingerprint(count=count, digest=digests[16 * row : 16 * row + 16])
            found[key] = found[key].plus(one) if key in found else one
    return found


def is_empty(fingerprint: Fingerprint) -> bool:
    """True if it is that of no event."""
    return fingerprint.count == 0 and not any(fingerprint.digest)


def digest_words(digests: Iterable[bytes]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """16-byte digests as rows of two 64-bit words."""
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64).reshape(-1, 2)
