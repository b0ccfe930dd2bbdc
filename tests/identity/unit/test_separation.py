"""What hangs together at a profile without one identifier."""

from __future__ import annotations

import pytest

from dmp_identity.domain.explain import SeenIdentifier
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.separation import parts_without

P, A, B, C, D = (("phone", "1"), ("email", "a"), ("email", "b"), ("user_id", "c"), ("user_id", "d"))


def seen(key: Key, ref: str, via: Key | None = None) -> SeenIdentifier:
    """An arrival."""
    return SeenIdentifier(
        key=key, profile=1, cause="event", ref=ref, source="", at_us=0, via=via, via_strong=via is not None
    )


@pytest.mark.parametrize(
    ("arrivals", "pairs", "parts"),
    [
        ([seen(P, "1")], [], []),
        ([seen(P, "1"), seen(A, "2", P), seen(B, "3", P)], [], [[A], [B]]),
        ([seen(A, "1"), seen(P, "1"), seen(B, "2", P)], [], [[A], [B]]),
        ([seen(P, "1"), seen(A, "2", P), seen(C, "2", P), seen(B, "3", P)], [], [[A, C], [B]]),
        ([seen(P, "1"), seen(A, "2", P), seen(B, "3", P), seen(C, "4", A)], [], [[A, C], [B]]),
        ([seen(P, "1"), seen(A, "2", P), seen(B, "3", P), seen(D, "4", P)], [(A, D), (B, P)], [[A, D], [B]]),
    ],
)
def test_what_hangs_together_without_the_value_stays_together(
    arrivals: list[SeenIdentifier], pairs: list[tuple[Key, Key]], parts: list[list[Key]]
) -> None:
    assert parts_without(P, arrivals, pairs) == parts
