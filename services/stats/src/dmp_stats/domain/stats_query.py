"""What can be asked of the rollups, and what is wrong with a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Final, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from dmp_chassis.instants import instant_problem, parse_instant
from dmp_chassis.page_token import NOT_FROM_US, number_of
from dmp_chassis.violations import InvalidArgument, Violations
from dmp_stats.domain.buckets import Granularity

LONGEST_RANGE: Final = timedelta(days=366)
LONGEST_ID: Final = 255
LARGEST_PAGE: Final = 200_000

_Choice = TypeVar("_Choice", bound=StrEnum)


class GroupBy(StrEnum):
    """What a series can be split by."""

    CREATIVE_ID = "creative_id"
    SOURCE = "source"
    TYPE = "type"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """A question to the counts of one campaign."""

    campaign_id: str
    start: datetime
    """UTC; the first bucket is the one that holds this instant."""
    end: datetime
    """UTC; the last bucket is the one that holds this instant."""
    granularity: Granularity
    zone: ZoneInfo
    fill_zero: bool
    """Whether buckets without events are listed too."""
    group_by: GroupBy | None
    types: tuple[str, ...]
    """Only events of these types; of all if there are none. `sources` and `creative_ids` likewise."""
    sources: tuple[str, ...]
    creative_ids: tuple[str, ...]
    page_size: int | None
    """How many buckets one answer has; None for all."""
    resume_minute: int | None
    """The first minute of the bucket to go on with, as the page before said; None for the first page."""

    @property
    def needs_detail(self) -> bool:
        """True if the answer depends on sources or creatives."""
        return bool(self.sources or self.creative_ids) or self.group_by in (GroupBy.SOURCE, GroupBy.CREATIVE_ID)


def check_stats_query(  # one parameter for each of the request, under the names that its problems are told by
    *,
    campaign_id: str,
    start: str,
    end: str,
    granularity: str = "",
    tz: str = "",
    fill: str = "",
    group_by: str = "",
    types: Sequence[str] = (),
    sources: Sequence[str] = (),
    creative_ids: Sequence[str] = (),
    page_size: int = 0,
    page_token: str = "",
) -> StatsQuery:
    """The question that these parameters ask. Empty texts stand for parameters that were left out.

    Raises InvalidArgument, which names every parameter that is wrong.
    """
    problems = Violations()
    problem = problems.add
    check_id("campaign_id", campaign_id, problem)
    first, last = check_range(start, end, problem)
    unit = _choice(Granularity, "granularity", granularity or "minute", problem)
    zone = check_zone(tz or "UTC", problem)
    if fill not in ("", "zero"):
        problem("fill", "must be zero, or be left out")
    split = _choice(GroupBy, "group_by", group_by, problem) if group_by else None
    for field, values in (("type", types), ("source", sources), ("creative_id", creative_ids)):
        for value in values:
            if value:
                check_id(field, value, problem)
    if not 0 <= page_size <= LARGEST_PAGE:
        problem("page_size", f"must be between 1 and {LARGEST_PAGE}")
    resume = check_page_token(page_token, problem)
    if problems or first is None or last is None or unit is None or zone is None:
        raise InvalidArgument(problems)
    return StatsQuery(
        campaign_id=campaign_id,
        start=first,
        end=last,
        granularity=unit,
        zone=zone,
        fill_zero=fill == "zero",
        group_by=split,
        types=tuple(types),
        sources=tuple(sources),
        creative_ids=tuple(creative_ids),
        page_size=page_size or None,
        resume_minute=resume,
    )


def check_range(start: str, end: str, problem: Callable[[str, str], None]) -> tuple[datetime | None, datetime | None]:
    """The instants of `from` and `to`. One that cannot be used is None, and `problem` is called with the reason."""
    first, last = (_instant(field, text, problem) for field, text in (("from", start), ("to", end)))
    if first is not None and last is not None:
        if first > last:
            problem("from", "must not be after to")
        elif last - first > LONGEST_RANGE:
            problem("to", f"must be at most {LONGEST_RANGE.days} days after from")
    return first, last


def check_id(field: str, value: str, problem: Callable[[str, str], None]) -> None:
    """Calls `problem` if the value is not an id: because it is empty, too long, or has a NUL character."""
    if not value.strip():
        problem(field, "is required")
    elif len(value) > LONGEST_ID:
        problem(field, f"must have at most {LONGEST_ID} characters")
    elif "\0" in value:
        problem(field, "must not contain a NUL character")


def check_page_token(token: str, problem: Callable[[str, str], None]) -> int | None:
    """The minute in a page token; None if there is no token. Calls `problem` if the token is not one that we made."""
    if not token:
        return None
    number = number_of(token)
    if number is None:
        problem("page_token", NOT_FROM_US)
    return number


@cache
def zone_names() -> frozenset[str]:
    """The names of the IANA time zone database, without `Factory` and the machine's own zone."""
    return frozenset(available_timezones()) - {"Factory", "localtime", "posixrules"}


def check_zone(name: str, problem: Callable[[str, str], None]) -> ZoneInfo | None:
    """The time zone of that IANA name. If there is none: None, and `problem` is called."""
    if name in zone_names():
        return ZoneInfo(name)
    problem("tz", "must be the IANA name of a time zone, such as Europe/Berlin")
    return None


def _instant(field: str, text: str, problem: Callable[[str, str], None]) -> datetime | None:
    if not text:
        problem(field, "is required")
        return None
    instant = parse_instant(text)
    if instant is None:
        problem(field, instant_problem(text))
        return None
    return instant


def _choice(choices: type[_Choice], field: str, value: str, problem: Callable[[str, str], None]) -> _Choice | None:
    try:
        return choices(value)
    except ValueError:
        names = [choice.value for choice in choices]
        problem(field, f"must be {', '.join(names[:-1])} or {names[-1]}")
        return None
