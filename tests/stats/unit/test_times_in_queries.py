"""The range of a question is read by the one rule for times, and what is wrong with it is said."""

from __future__ import annotations

import pytest

from dmp_chassis.violations import InvalidArgument
from dmp_stats.domain.stats_query import check_stats_query


def problems(start: str) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        check_stats_query(campaign_id="c", start=start, end="2026-02-10T21:20:00Z")
    return {each.field: each.description for each in caught.value.violations}


@pytest.mark.parametrize("start", ["2026-02-10 21:10:00Z", "2026-02-10t21:10:00z", "2026-02-10T22:10:00+01:00"])
def test_what_events_may_say_questions_may_say(start: str) -> None:
    query = check_stats_query(campaign_id="c", start=start, end="2026-02-10T21:20:00Z")
    assert query.start.isoformat() == "2026-02-10T21:10:00+00:00"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("2026-02-10T21:10:00 00:00", "%2B"),
        ("2026-02-10T24:00:00Z", "hour 24"),
        ("2026-02-10T21:10:60Z", "second 60"),
        ("2026-02-10T21:10Z", "seconds"),
        ("1770757800000", "milliseconds?"),
    ],
)
def test_what_is_wrong_with_a_time_is_said(start: str, said: str) -> None:
    assert said in problems(start)["from"]
