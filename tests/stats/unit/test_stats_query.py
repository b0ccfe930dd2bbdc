"""What is wrong with a question is said all at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dmp_chassis.instants import instant_problem
from dmp_chassis.violations import InvalidArgument
from dmp_stats.domain.buckets import Granularity
from dmp_stats.domain.stats_query import GroupBy, StatsQuery, check_stats_query, check_zone, zone_names

GOOD: dict[str, Any] = {"campaign_id": "camp_1", "start": "2026-02-10T21:10:00Z", "end": "2026-02-10T21:20:00Z"}


def problems(**changes: Any) -> dict[str, str]:  # noqa: ANN401 -- parameters of the question
    with pytest.raises(InvalidArgument) as raised:
        check_stats_query(**{**GOOD, **changes})
    return {violation.field: violation.description for violation in raised.value.violations}


def test_defaults() -> None:
    query = check_stats_query(**GOOD)
    assert (query.granularity, query.zone.key, query.fill_zero, query.group_by) == ("minute", "UTC", False, None)


def test_a_question_says_what_its_parameters_say() -> None:
    query = check_stats_query(
        campaign_id="c",
        start="2026-02-10T21:10:00Z",
        end="2026-02-10T21:20:00Z",
        granularity="day",
        tz="Europe/Berlin",
        fill="zero",
        group_by="source",
        types=["click", ""],
        sources=["web"],
        creative_ids=["cr"],
        page_size=7,
        page_token="-29512",
    )
    assert query == StatsQuery(
        campaign_id="c",
        start=datetime(2026, 2, 10, 21, 10, tzinfo=UTC),
        end=datetime(2026, 2, 10, 21, 20, tzinfo=UTC),
        granularity=Granularity.DAY,
        zone=ZoneInfo("Europe/Berlin"),
        fill_zero=True,
        group_by=GroupBy.SOURCE,
        types=("click", ""),
        sources=("web",),
        creative_ids=("cr",),
        page_size=7,
        resume_minute=-29512,
    )


def test_what_is_left_out_means_all() -> None:
    query = check_stats_query(**GOOD)
    assert (query.types, query.sources, query.creative_ids) == ((), (), ())
    assert (query.page_size, query.resume_minute, query.needs_detail) == (None, None, False)


NO_ID = {
    "": "is required",
    " \t": "is required",
    "x" * 256: "must have at most 255 characters",
    "a\0b": "must not contain a NUL character",
}
ZONE = "must be the IANA name of a time zone, such as Europe/Berlin"
# Each case: changed parameters, and what is said of them.
PROBLEMS: list[tuple[dict[str, Any], dict[str, str]]] = [
    *(({"campaign_id": value}, {"campaign_id": problem}) for value, problem in NO_ID.items()),
    *(
        ({parameter: ["fine", value]}, {field: problem})
        for parameter, field in (("types", "type"), ("sources", "source"), ("creative_ids", "creative_id"))
        for value, problem in NO_ID.items()
        if value
    ),
    ({"start": ""}, {"from": "is required"}),
    ({"end": "tomorrow"}, {"to": instant_problem("tomorrow")}),
    ({"start": "2026-02-10T21:20:01Z"}, {"from": "must not be after to"}),
    ({"end": "2027-02-11T21:10:01Z"}, {"to": "must be at most 366 days after from"}),
    ({"granularity": "week"}, {"granularity": "must be minute, hour or day"}),
    ({"tz": "Mars/Base"}, {"tz": ZONE}),
    ({"fill": "one"}, {"fill": "must be zero, or be left out"}),
    ({"group_by": "user"}, {"group_by": "must be creative_id, source or type"}),
    ({"page_size": -1}, {"page_size": "must be between 1 and 200000"}),
    ({"page_size": 200_001}, {"page_size": "must be between 1 and 200000"}),
    ({"page_token": "x"}, {"page_token": "must be the token that the page before this one gave"}),
    (
        {"campaign_id": "", "start": "", "end": "", "granularity": "week", "tz": "Mars/Base", "fill": "one"},
        {
            "campaign_id": "is required",
            "from": "is required",
            "to": "is required",
            "granularity": "must be minute, hour or day",
            "tz": ZONE,
            "fill": "must be zero, or be left out",
        },
    ),
    (
        {"group_by": "user", "page_size": -1, "page_token": "x"},
        {
            "group_by": "must be creative_id, source or type",
            "page_size": "must be between 1 and 200000",
            "page_token": "must be the token that the page before this one gave",
        },
    ),
]


@pytest.mark.parametrize(("changes", "said"), PROBLEMS)
def test_what_is_said_of_each_problem_all_at_once(changes: dict[str, Any], said: dict[str, str]) -> None:
    assert problems(**changes) == said


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign_id": "x" * 255},
        {"start": GOOD["end"]},
        {"end": "2027-02-11T21:10:00Z"},
        {"page_size": 200_000},
        {"creative_ids": [""]},
    ],
)
def test_what_is_just_right(changes: dict[str, Any]) -> None:
    check_stats_query(**{**GOOD, **changes})


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"types": ["click"], "group_by": "type"}, False),
        ({"sources": ["web"]}, True),
        ({"creative_ids": ["cr"]}, True),
        ({"group_by": "source"}, True),
        ({"group_by": "creative_id"}, True),
    ],
)
def test_only_sources_and_creatives_need_the_detailed_rows(changes: dict[str, Any], needed: bool) -> None:
    assert check_stats_query(**GOOD, **changes).needs_detail is needed


@pytest.mark.parametrize("tz", ["", "UTC", "Europe/Berlin"])
def test_zones(tz: str) -> None:
    assert check_stats_query(**GOOD, tz=tz).zone.key == (tz or "UTC")


@pytest.mark.parametrize("tz", ["Berlin", "../../etc/passwd", "/etc/localtime", "a\0b", "x" * 5000, "Europe"])
def test_not_zones(tz: str) -> None:
    assert set(problems(tz=tz)) == {"tz"}


@pytest.mark.parametrize("year", ["0001", "9998", "9999"])
def test_years_at_the_end_of_time_are_refused(year: str) -> None:
    assert set(problems(start=f"{year}-06-01T00:00:00Z", end=f"{year}-06-02T00:00:00Z")) == {"from", "to"}


@pytest.mark.parametrize("year", ["0002", "9997"])
@pytest.mark.parametrize("granularity", ["minute", "hour", "day"])
def test_years_near_the_end_of_time_are_not(year: str, granularity: str) -> None:
    from dmp_stats.domain.buckets import buckets_between, ranges_of

    query = check_stats_query(
        campaign_id="c",
        start=f"{year}-01-01T00:00:00Z",
        end=f"{year}-12-31T23:59:59Z",
        granularity=granularity,
        tz="Asia/Kolkata",
    )
    assert ranges_of(buckets_between(query.start, query.end, query.granularity, query.zone))


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Etc/GMT+12", "America/Argentina/Ushuaia"])
def test_zones_of_the_iana_database_are_zones(name: str) -> None:
    problems: list[str] = []
    assert check_zone(name, lambda field, _: problems.append(field)) == ZoneInfo(name)
    assert not problems


@pytest.mark.parametrize(
    "name",
    [
        *[
            "localtime",
            "posix/Europe/Berlin",
            "right/Europe/Berlin",
            "Factory",
            "posixrules",
            "../UTC",
            "/etc/localtime",
            "Europe",
        ],
        *["Europe/", "europe/berlin", "tzdata.zi", "zone.tab", "./UTC", "Europe/../UTC"],
        "UTC\0",
        "x" * 10_000,
    ],
)
def test_what_is_no_name_of_the_iana_database_is_no_zone(name: str) -> None:
    problems: list[str] = []
    assert check_zone(name, lambda field, _: problems.append(field)) is None
    assert problems == ["tz"]


def test_every_zone_can_be_used() -> None:
    noon = datetime(2026, 2, 10, 12, tzinfo=UTC)
    assert len(zone_names()) > 400
    for name in zone_names():
        assert abs(noon.astimezone(ZoneInfo(name)).utcoffset() or timedelta()) < timedelta(hours=15)
