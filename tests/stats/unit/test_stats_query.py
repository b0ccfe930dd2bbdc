"""What is wrong with a question is said all at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dmp_chassis.violations import InvalidArgument
from dmp_stats.domain.stats_query import check_stats_query, check_zone, zone_names

GOOD: dict[str, Any] = {"campaign_id": "camp_1", "start": "2026-02-10T21:10:00Z", "end": "2026-02-10T21:20:00Z"}


def problems(**changes: Any) -> dict[str, str]:  # noqa: ANN401 -- parameters of the question
    with pytest.raises(InvalidArgument) as raised:
        check_stats_query(**{**GOOD, **changes})
    return {violation.field: violation.description for violation in raised.value.violations}


def test_defaults() -> None:
    query = check_stats_query(**GOOD)
    assert (query.granularity, query.zone.key, query.fill_zero, query.group_by) == ("minute", "UTC", False, None)


def test_every_problem_is_reported_at_once() -> None:
    found = problems(
        campaign_id="",
        start="",
        end="tomorrow",
        granularity="week",
        tz="Mars/Base",
        fill="one",
        group_by="user",
        page_size=-1,
        page_token="x",
    )
    assert set(found) == {
        "campaign_id", "from", "to", "granularity", "tz", "fill", "group_by", "page_size", "page_token",
    }  # fmt: skip


@pytest.mark.parametrize("campaign_id", ["", "  ", "x" * 256, "a\0b"])
def test_a_campaign_must_be_an_id(campaign_id: str) -> None:
    assert set(problems(campaign_id=campaign_id)) == {"campaign_id"}


def test_from_must_not_be_after_to() -> None:
    assert set(problems(start="2026-02-10T21:20:01Z")) == {"from"}


def test_a_range_has_at_most_366_days() -> None:
    assert check_stats_query(**{**GOOD, "end": "2027-02-11T21:10:00Z"}).end.year == 2027
    assert set(problems(end="2027-02-11T21:10:01Z")) == {"to"}


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
