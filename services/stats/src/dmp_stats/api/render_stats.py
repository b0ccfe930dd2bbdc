"""The answer to `GET /stats` as text, JSON or CSV, in pieces: each takes the event loop a few milliseconds at most."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import numpy as np

from dmp_chassis.instants import format_instant
from dmp_chassis.page_token import number_token
from dmp_stats.domain.buckets import DAY, HOUR
from dmp_stats.domain.series import Series
from dmp_stats.domain.stats_query import StatsQuery
from dmp_stats.query_stats import StatsAnswer

JSON: Final = "application/json"
CSV: Final = "text/csv; charset=utf-8"
POINTS_OF_A_PIECE: Final = 2_000
_CLOCK: Final = [f"T{minute // HOUR:02}:{minute % HOUR:02}:00Z" for minute in range(DAY)]
_ENCODER: Final = msgspec.json.Encoder()
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def wants_csv(accept: str) -> bool:
    """True if an HTTP `Accept` header prefers CSV to JSON."""
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if kind in weights:
            weights[kind] = max(weights[kind], weight)
        elif kind in ("*/*", "application/*"):
            weights["application/json"] = max(weights["application/json"], weight)
    return weights["text/csv"] > weights["application/json"]


def stats_json(query: StatsQuery, answer: StatsAnswer) -> Iterator[bytes]:
    """The answer as JSON, its keys in the order of the contract's example."""
    head = {
        "campaign_id": query.campaign_id,
        "from": format_instant(query.start),
        "to": format_instant(query.end),
        "granularity": query.granularity.value,
    }
    tail = {"tz": query.zone.key, "next_page_token": number_token(answer.next_minute)}
    if query.group_by is not None:
        tail["group_by"] = query.group_by.value
    text = _ENCODER.encode(head)[:-1] + b',"series":['
    for number, part in enumerate(_parts(answer.series)):
        if number:
            yield text
            text = b","
        text += _points_json(part, grouped=query.group_by is not None)
    yield text + b"]," + _ENCODER.encode(tail)[1:]


def stats_csv(query: StatsQuery, answer: StatsAnswer) -> Iterator[bytes]:
    """The series as CSV with a header line.

    An event without the value that was grouped by has an empty field. A value that a spreadsheet would take for a
    formula has an apostrophe in front.
    """
    grouped = query.group_by is not None
    text = b"ts,group,impressions,clicks,events\r\n" if grouped else b"ts,impressions,clicks,events\r\n"
    for number, part in enumerate(_parts(answer.series)):
        if number:
            yield text
            text = b""
        text += _lines(part, grouped=grouped)
    yield text


def _lines(part: Series, *, grouped: bool) -> bytes:
    columns = [part.impressions.tolist(), part.clicks.tolist(), part.events.tolist()]
    stamps = _timestamps(part)
    if grouped:
        stamps = [f"{stamp},{cell}" for stamp, cell in zip(stamps, _by_point(part, _cell), strict=True)]
    return "".join(
        [
            f"{stamp},{impressions},{clicks},{events}\r\n"
            for stamp, impressions, clicks, events in zip(stamps, *columns, strict=True)
        ]
    ).encode()


def _cell(text: str) -> str:
    line = io.StringIO(newline="")
    csv.writer(line).writerow([_safe_for_spreadsheets(text), ""])
    return line.getvalue().removesuffix(",\r\n")


def _safe_for_spreadsheets(cell: str) -> str:
    """The cell, after an apostrophe if a spreadsheet would take it for a formula; a number stays a number.

    *Source:* OWASP, CSV Injection.
    """
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and _NUMBER.fullmatch(cell) is None else cell


def _parts(series: Series) -> Iterator[Series]:
    """The points of a series, so many at a time."""
    for first in range(0, len(series.starts), POINTS_OF_A_PIECE):
        part = slice(first, first + POINTS_OF_A_PIECE)
        yield Series(
            starts=series.starts[part],
            impressions=series.impressions[part],
            clicks=series.clicks[part],
            events=series.events[part],
            groups=series.groups,
            group_of=series.group_of[part],
        )


class _Point(msgspec.Struct, gc=False):
    ts: str
    impressions: int
    clicks: int
    events: int


class _PointOfGroup(msgspec.Struct, gc=False):
    ts: str
    group: str
    impressions: int
    clicks: int
    events: int


def _points_json(part: Series, *, grouped: bool) -> bytes:
    columns = (part.impressions.tolist(), part.clicks.tolist(), part.events.tolist())
    points: list[_Point] | list[_PointOfGroup]
    if grouped:
        points = list(map(_PointOfGroup, _timestamps(part), _by_point(part, str), *columns))
    else:
        points = list(map(_Point, _timestamps(part), *columns))
    return _ENCODER.encode(points)[1:-1]


def _by_point(part: Series, written: Callable[[str], str]) -> list[str]:
    """The group of each point, as it is to be written."""
    numbers = part.group_of.tolist()
    texts = {number: written(part.groups[number]) for number in set(numbers)}
    return [texts[number] for number in numbers]


def _timestamps(part: Series) -> list[str]:
    # The texts of the days and of the minutes of a day are put together: three times as fast as a text for each point.
    days, minutes = np.divmod(part.starts, DAY)
    first = int(days[0])
    dates = np.datetime_as_string(np.arange(first, int(days[-1]) + 1).astype("datetime64[D]")).tolist()
    return [dates[day] + _CLOCK[minute] for day, minute in zip((days - first).tolist(), minutes.tolist(), strict=True)]
