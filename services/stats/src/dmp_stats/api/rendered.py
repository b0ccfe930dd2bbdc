"""Answers as the public contract writes them: JSON with numbers as numbers and keys in the order of its examples."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from google.api import httpbody_pb2

from dmp_chassis.http_body import json_body
from dmp_chassis.instants import format_instant, instant_from_us
from dmp_chassis.unfilled_macros import is_unfilled_macro
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.api.convert import click_through_rate
from dmp_stats.domain.minutes import instant_of_minute
from dmp_stats.domain.rejections import LastRejection
from dmp_stats.domain.window import WindowCounts
from dmp_stats.list_campaigns import CampaignsPage, token_after
from dmp_stats.make_live_view import LiveView

_ENCODER: Final = msgspec.json.Encoder()


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
            "last_rejections": [_rejection(last) for last in view.rejections],
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


def _rejection(last: LastRejection) -> dict[str, Any]:
    at = format_instant(instant_from_us(int(last.at) * 1_000_000))
    return {"ts": at, **last.kind._asdict(), "events": last.events}


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
