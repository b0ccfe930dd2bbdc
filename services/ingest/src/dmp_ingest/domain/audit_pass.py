"""Which minutes a continuous audit compares next, and what it has found: a pass over the last hours, in steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

STEP_MINUTES: Final = 15
"""The longest step. A step whose minutes have too much in them is made shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a step found."""

    counts: int = 0
    """Cells that differ: what stats has counted is not what the log has."""
    timelines: int = 0
    """Minutes that differ: what timelines have is not what the log has."""
    unsettled: int = 0
    """Cells and minutes that could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPass:
    """One pass, from its first minute to its last. Minutes are whole minutes since 1970."""

    next_minute: int
    """Where the next step begins."""
    last_minute: int
    """The last minute of the pass."""
    found: Found = Found()

    @property
    def whole(self) -> bool:
        """Whether every minute has been compared."""
        return self.next_minute > self.last_minute

    def step(self, minutes: int) -> tuple[int, int]:
        """The first and the last minute of a step of at most so many."""
        return self.next_minute, min(self.last_minute, self.next_minute + minutes - 1)

    def after(self, last: int, found: Found) -> AuditPass:
        """The pass once a step up to the minute `last` has found this."""
        so_far = Found(
            counts=self.found.counts + found.counts,
            timelines=self.found.timelines + found.timelines,
            unsettled=self.found.unsettled + found.unsettled,
        )
        return replace(self, next_minute=last + 1, found=so_far)


def new_pass(*, now_minute: int, hours: int) -> AuditPass:
    """A pass over the last so many hours. The minute that is not over is left to the next pass."""
    return AuditPass(next_minute=now_minute - hours * 60, last_minute=now_minute - 1)


def going_on(passed: AuditPass, *, now_minute: int, hours: int) -> AuditPass:
    """The pass to go on with: this one, or a new one if it is whole or so old that its minutes are of no interest."""
    if passed.whole or passed.next_minute < now_minute - hours * 60 - 60 or passed.last_minute >= now_minute:
        return new_pass(now_minute=now_minute, hours=hours)
    return passed
