"""Answers as the public contract writes them: JSON with numbers as numbers and keys in the order of its examples, or
CSV.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any, Final

import msgspec
import numpy as np
from google.api import httpbody_pb2

from dmp.stats.v1 import stats_service_pb2
from dmp_chassis.http_body import json_body
from dmp_chassis.instants import format_instant
from dmp_chassis.page_token import number_token
from dmp_chassis.unfilled_macros import is_unfilled_macro
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.api.convert import click_through_rate
from dmp_stats.domain.instants import instant_of_minute
from dmp_stats.domain.series import Series
from dmp_stats.domain.stats_query import StatsQuery
from dmp_stats.domain.window import WindowCounts
from dmp_stats.list_campaigns import CampaignsPage, token_after
from dmp_stats.query_stats import StatsAnswer
from dmp_stats.watch_live import LiveView

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


def stats_json(query: StatsQuery, answer: StatsAnswer) -> stats_service_pb2.QueryStatsResponse:
    """The answer to `GET /stats`."""
    body: dict[str, Any] = {
        "campaign_id": query.campaign_id,
        "from": format_instant(query.start),
        "to": format_instant(query.end),
        "granularity": query.granularity.value,
        "series": msgspec.Raw(_points_json(query, answer.series)),
        "tz": query.zone.key,
        "next_page_token": number_token(answer.next_minute),
    }
    if query.group_by is not None:
        body["group_by"] = query.group_by.value
    return stats_service_pb2.QueryStatsResponse(rendered=json_body(_ENCODER.encode(body)))


def stats_csv(query: StatsQuery, answer: StatsAnswer) -> stats_service_pb2.QueryStatsResponse:
    """The series of `GET /stats` with a header line.

    An event without the value that was grouped by has an empty field. A value that a spreadsheet would take for a
    formula has an apostrophe in front.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    series = answer.series
    columns: list[Any] = [_timestamps(series)]
    names = ["ts"]
    if query.group_by is not None:
        names.append("group")
        safe = [_safe_for_spreadsheets(group) for group in series.groups]
        columns.append([safe[place] for place in series.group_of.tolist()])
    writer.writerow([*names, "impressions", "clicks", "events"])
    writer.writerows(
        zip(*columns, series.impressions.tolist(), series.clicks.tolist(), series.events.tolist(), strict=True)
    )
    body = httpbody_pb2.HttpBody(content_type="text/csv; charset=utf-8", data=text.getvalue().encode())
    return stats_service_pb2.QueryStatsResponse(rendered=body)


def _safe_for_spreadsheets(cell: str) -> str:
    """The cell, after an apostrophe if a spreadsheet would take it for a formula; a number stays a number.

    *Source:* OWASP, CSV Injection.
    """
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and _NUMBER.fullmatch(cell) is None else cell


def campaigns_json(page: CampaignsPage) -> httpbody_pb2.HttpBody:
    """The answer to `GET /campaigns`."""
    return json_body(
        _ENCODER.encode(
            {
                "campaigns": [_campaign(name, totals) for name, totals in page.campaigns.items()],
                "next_page_token": token_after(page.next_after),
            }
        )
    )


def live_event(view: LiveView, *, top: int) -> httpbody_pb2.HttpBody:
    """One server-sent event of `GET /live`."""
    data = _ENCODER.encode(
        {
            "ts": format_instant(view.at.replace(microsecond=0)),
            "events_per_sec": dict(zip(("last_10_seconds", "last_minute", "last_5_minutes"), view.rates, strict=True)),
            "users": view.users,
            "generation": view.generation,
            "verdicts": {"accepted": view.accepted, "duplicates": view.duplicates, "rejected": view.rejected},
            "top_campaigns": [_campaign(name, totals) for name, totals in view.top[:top]],
        }
    )
    return httpbody_pb2.HttpBody(content_type="text/event-stream", data=b"data: " + data + b"\n\n")


def metrics_json(counts: WindowCounts) -> httpbody_pb2.HttpBody:
    """The answer to `GET /metrics`."""
    body: dict[str, Any] = {
        "window_sec": counts.window_seconds,
        "events_per_sec": counts.events / counts.window_seconds,
        "unique_users": counts.unique_users,
        "unknown": counts.unknown,
        **{f"by_{name}": dict(values) for name, values in counts.by.items()},
        "unknown_users": counts.unknown_users,
        "events": counts.events,
        "generation": counts.generation,
    }
    return json_body(_ENCODER.encode(body))


def _campaign(name: str, totals: Totals) -> dict[str, Any]:
    return {
        "campaign_id": name,
        "impressions": totals.impressions,
        "clicks": totals.clicks,
        "events": totals.events,
        "click_through_rate": click_through_rate(totals),
        "last_activity": format_instant(instant_of_minute(totals.last_minute)),
        "unfilled_macro": is_unfilled_macro(name),
    }


def _points_json(query: StatsQuery, series: Series) -> bytes:
    # One formatted text for each point: several times as fast as an object for each, and a month of minutes has 43,200.
    columns = (series.impressions.tolist(), series.clicks.tolist(), series.events.tolist())
    stamps = _timestamps(series)
    if query.group_by is None:
        points = [
            f'{{"ts":"{stamp}","impressions":{impressions},"clicks":{clicks},"events":{events}}}'
            for stamp, impressions, clicks, events in zip(stamps, *columns, strict=True)
        ]
    else:
        groups = [_ENCODER.encode(group).decode() for group in series.groups]
        points = [
            f'{{"ts":"{stamp}","group":{groups[group]},"impressions":{impressions},"clicks":{clicks},"events":{events}}}'
            for stamp, group, impressions, clicks, events in zip(
                stamps, series.group_of.tolist(), *columns, strict=True
            )
        ]
    return f"[{','.join(points)}]".encode()


def _timestamps(series: Series) -> list[str]:
    stamps: list[str] = np.datetime_as_string(series.starts.astype("datetime64[m]"), unit="s", timezone="UTC").tolist()
    return stamps
