"""Answers what happened in the last seconds, by attributes of the users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dmp_chassis.violations import Violations
from dmp_stats.domain.reference import LONGEST_NAME
from dmp_stats.domain.window import WindowCounts
from dmp_stats.live_window import LiveWindow

DEFAULT_WINDOW_SECONDS: Final = 300
_MOST_GROUPS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsQuery:
    """What is asked of the window."""

    window_seconds: int
    """The last so many seconds."""
    group_by: tuple[str, ...]
    """The attributes to group by, besides plan and region."""


def check_metrics_query(*, window_seconds: int | None, group_by: Sequence[str], longest_seconds: int) -> MetricsQuery:
    """The question that these parameters ask. Raises InvalidArgument, which names every wrong parameter."""
    problems = Violations()
    window = DEFAULT_WINDOW_SECONDS if window_seconds is None else window_seconds
    if not 1 <= window <= longest_seconds:
        problems.add("window", f"must be between 1 and {longest_seconds} seconds")
    names = tuple(dict.fromkeys(name for name in group_by if name))
    if len(names) > _MOST_GROUPS:
        problems.add("group_by", f"must name at most {_MOST_GROUPS} attributes")
    if any(len(name) > LONGEST_NAME or "\0" in name for name in names):
        problems.add("group_by", f"must be the name of an attribute, up to {LONGEST_NAME} characters")
    problems.check()
    return MetricsQuery(window_seconds=window, group_by=names)


async def get_metrics(query: MetricsQuery, window: LiveWindow) -> WindowCounts:
    """The figures of the window, with every committed batch and the current reference table."""
    return await window.counts(query.window_seconds, query.group_by)
