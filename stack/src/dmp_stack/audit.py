"""`make audit`: asks a running system whether what it counted is what it logged, and says where it is not.

A system that asks for keys wants one with the scope `admin`, in DMP_API_KEY.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dmp_stack.demo_client import Answer, DemoClient, DemoError

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser, *, address: str) -> None:
    """The options of the command; `address` is where a system runs unless told otherwise."""
    now = datetime.now(UTC)
    parser.add_argument(
        "--address", default=address, metavar="HOST:PORT", help=f"or https://HOST:PORT; default: {address}"
    )
    parser.add_argument("--campaign", default="", metavar="ID", help="default: all, and the timelines")
    parser.add_argument("--from", dest="first", default=f"{now - timedelta(days=1):{_FORMAT}}", metavar="TIME")
    parser.add_argument("--to", dest="last", default=f"{now:{_FORMAT}}", metavar="TIME", help="default: the last day")


def audit(options: argparse.Namespace) -> int:
    """Returns the exit code: 0 if all is equal, 1 if something differs, 2 if there is no answer."""
    query = {"from": options.first, "to": options.last}
    if options.campaign:
        query["campaign_id"] = options.campaign
    try:
        with DemoClient(options.address, timeout_seconds=90, api_key=os.environ.get("DMP_API_KEY") or None) as client:
            answer = _all_pages(client, query)
    except DemoError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    print("\n".join(describe(answer, first=options.first, last=options.last)))
    return 0 if answer["clean"] else 1


def _all_pages(client: DemoClient, query: dict[str, str]) -> Answer:
    """The answers of all pages as one."""
    whole = client.get("/audit", **query)
    page = whole
    while token := page.get("next_page_token"):
        page = client.get("/audit", **query, page_token=token)
        whole["clean"] = whole["clean"] and page["clean"]
        for name in ("events", "cells", "unsettled", "identified_events", "timeline_entries"):
            whole[name] += page[name]
        for name in ("differences", "timeline_differences"):
            whole[name] = (whole[name] + page[name])[:_SHOWN]
    return whole


def describe(answer: Answer, *, first: str, last: str) -> Sequence[str]:
    """The answer of `GET /audit` in sentences."""
    lines = [f"{first} to {last}: {answer['events']:,} counted events in {answer['cells']:,} cells"]
    named, entries = answer.get("identified_events", 0), answer.get("timeline_entries", 0)
    if named or entries:
        lines.append(f"{named:,} events that name a person, {entries:,} timeline entries")
    lines += map(_cell, answer["differences"][:_SHOWN])
    lines += [
        f"DIFFERS timelines {minute['minute']}: {minute['logged']:,} events, {minute['entries']:,} entries"
        for minute in answer.get("timeline_differences", ())[:_SHOWN]
    ]
    if answer["unsettled"]:
        lines.append(f"{answer['unsettled']:,} cells have batches on their way: ask again")
    lines.append("clean" if answer["clean"] else "NOT CLEAN; POST /audit/repair recomputes a campaign's counts")
    return lines


def _cell(cell: Answer) -> str:
    counted = "other events are counted" if cell["logged"] == cell["counted"] else f"{cell['counted']:,} counted"
    return f"DIFFERS {cell['campaign_id']} {cell['minute']} {cell['type']}: {cell['logged']:,} logged, {counted}"
