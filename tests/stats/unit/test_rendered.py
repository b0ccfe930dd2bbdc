"""Answers as text."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from dmp_stats.api.next_page import next_page_link
from dmp_stats.api.rendered import stats_csv
from dmp_stats.domain.series import Series
from dmp_stats.domain.stats_query import check_stats_query
from dmp_stats.query_stats import StatsAnswer

QUERY = check_stats_query(
    campaign_id="c", start="2026-02-10T21:10:00Z", end="2026-02-10T21:10:00Z", group_by="creative_id"
)


@pytest.mark.parametrize(
    ("group", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("-5", "-5"),
        ("+3.25", "+3.25"),
        ("-", "'-"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_csv_cell_is_no_formula(group: str, cell: str) -> None:
    one = np.ones(1, np.int64)
    series = Series(starts=one, impressions=one, clicks=one, events=one, groups=[group], group_of=one * 0)
    text = stats_csv(QUERY, StatsAnswer(series=series, next_minute=None)).rendered.data.decode()
    assert list(csv.reader(io.StringIO(text, newline="")))[1][1] == cell


def test_a_link_asks_the_same_question_with_another_token() -> None:
    target = "/stats?campaign_id=a%26b&from=2026-02-10T21:10:00%2B01:00&page_token=1&page_size=2&type=x&type=y"
    question = "campaign_id=a%26b&from=2026-02-10T21%3A10%3A00%2B01%3A00&page_size=2&type=x&type=y"
    assert next_page_link(target, "29") == ("link", f'</stats?{question}&page_token=29>; rel="next"')


def test_there_is_no_link_at_the_end_or_without_room_for_it() -> None:
    assert next_page_link("/stats?campaign_id=a", "") is None
    assert next_page_link("/stats?campaign_id=" + "a" * 5_000, "1") is None


def test_nothing_in_a_question_ends_the_link() -> None:
    link = next_page_link("/stats>;rel=x?campaign_id=a>; rel=%0d%0ax", "1")
    assert link is not None
    assert link[1].count(">") == 1
    assert link[1].isascii()
    assert link[1].isprintable()
