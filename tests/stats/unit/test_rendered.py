"""Answers as text."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from dmp_stats.api.next_page import next_page_link
from dmp_stats.api.render_stats import POINTS_OF_A_PIECE, stats_csv, stats_json
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
    text = b"".join(stats_csv(QUERY, StatsAnswer(series=series, next_minute=None))).decode()
    assert list(csv.reader(io.StringIO(text, newline="")))[1][1] == cell


@pytest.mark.parametrize("points", [0, 1, POINTS_OF_A_PIECE, POINTS_OF_A_PIECE + 1, 3 * POINTS_OF_A_PIECE - 1])
@pytest.mark.parametrize("group_by", ["", "creative_id"])
def test_pieces_make_up_the_answer(points: int, group_by: str) -> None:
    query = check_stats_query(
        campaign_id='c"', start="2026-02-10T21:10:00Z", end="2026-12-10T21:10:00Z", group_by=group_by
    )
    numbers = np.arange(points, dtype=np.int64)
    groups = ['a"b', "c,d", ""] if group_by else [""]
    series = Series(
        starts=29_513_000 + numbers * 61,
        impressions=numbers,
        clicks=numbers % 7,
        events=numbers * 10**9,
        groups=groups,
        group_of=numbers % len(groups),
    )
    expected = [
        {
            "ts": datetime.fromtimestamp((29_513_000 + number * 61) * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **({"group": groups[number % len(groups)]} if group_by else {}),
            "impressions": number,
            "clicks": number % 7,
            "events": number * 10**9,
        }
        for number in range(points)
    ]
    answer = StatsAnswer(series=series, next_minute=5)
    pieces = list(stats_json(query, answer))
    assert len(pieces) == max(1, -(-points // POINTS_OF_A_PIECE))
    body = json.loads(b"".join(pieces))
    assert list(body)[:5] == ["campaign_id", "from", "to", "granularity", "series"]
    assert body["campaign_id"] == 'c"'
    assert body["next_page_token"] == "5"
    assert body["series"] == expected
    lines = list(csv.reader(io.StringIO(b"".join(stats_csv(query, answer)).decode(), newline="")))
    assert lines[0] == ["ts", *(["group"] if group_by else []), "impressions", "clicks", "events"]
    assert lines[1:] == [[str(value) for value in point.values()] for point in expected]


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
