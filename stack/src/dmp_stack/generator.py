"""Made-up but plausible traffic for demos, tests and load: the same seed gives the same events, byte for byte.

People visit the sites of several campaigns with several browsers and from several addresses. Every source knows only
its own piece of them: the ad server a browser, the shop an e-mail, the customer system a phone number and a user id,
the wallet button a wallet address. Most of what is seen are impressions to passers-by who never come back; few become
clicks, few of those purchases. The day has a rhythm. Delivery is as in life: a little out of order, some of it late
by minutes or hours, some of it twice.

No two people share a strong identifier (`email`, `phone`, `wallet_address`, `user_id`), so whoever resolves this
traffic must never merge two of them; browsers and addresses are shared within a household. Fragments of one person
that the traffic never ties together stay apart.

    python -m dmp_stack.generator --sessions 1000 --seed 7 > events.jsonl
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dmp_stack.people import Person, generate_people

Event = dict[str, Any]
"""One event as `POST /events` takes it."""

VISITOR_PREFIX = "visitor-"
"""How the `browser_id` of a passer-by begins; 16 hexadecimal digits follow."""

_LIVE_SPAN_SECONDS = 60.0  # activity events must be within 120 s of the server's clock; the rest is for sending them
_FORMATS = ("banner-300x250", "banner-728x90", "video-15s", "native")
_PAGES = ("/", "/pricing", "/products", "/products/42", "/blog/how-it-works", "/checkout", "/account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What to make up.

    `start` and `end` bound the event times; `sessions` are spread between them by the rhythm of the day,
    `live_sessions` (activity events of logged-in users) over the minute before `end`. Shares are
    probabilities from 0 to 1: `passers_by` of a session to be by somebody unknown, the others of an event. A session
    has about five events.
    """

    end: datetime
    start: datetime
    seed: int = 1
    sessions: int = 1000
    live_sessions: int = 0
    people: int = 200
    campaigns: int = 6
    passers_by: float = 0.35
    repeated: float = 0.03
    late: float = 0.03
    broken: float = 0.0


def generate_events(traffic: Traffic) -> Iterator[Event]:
    """The events in the order in which they arrive. Each carries its own `source` and `event_id`; a repetition is the
    same again.

    Memory grows with what is late, not with the number of events.
    """
    randomness = random.Random(f"events {traffic.seed}")  # noqa: S311 - seeded pseudo-randomness is the point
    end = traffic.end.timestamp()
    makers = _Makers(traffic, randomness, generate_people(seed=traffic.seed, people=traffic.people))
    on_their_way: list[tuple[float, int, Event]] = []
    number = 0
    for began, live in _session_starts(traffic, randomness):
        while on_their_way and on_their_way[0][0] <= began:
            yield heapq.heappop(on_their_way)[2]
        for happened, event in makers.live_session(began) if live else makers.session(began):
            if happened > end:
                continue
            delay = randomness.expovariate(0.5)
            if not live and randomness.random() < traffic.late:
                delay += randomness.expovariate(1 / 1800)
            heapq.heappush(on_their_way, (happened + delay, number, event))
            number += 1
            if randomness.random() < traffic.repeated:
                again = happened + delay + randomness.expovariate(0.1)
                heapq.heappush(on_their_way, (again, number, event))
                number += 1
    while on_their_way:
        yield heapq.heappop(on_their_way)[2]


def _session_starts(traffic: Traffic, randomness: random.Random) -> list[tuple[float, bool]]:
    """When sessions begin, in Unix seconds and ascending, and whether each is a live one."""
    start, end = traffic.start.timestamp(), traffic.end.timestamp()
    starts: list[tuple[float, bool]] = []
    while len(starts) < traffic.sessions:
        moment = randomness.uniform(start, end)
        if randomness.random() < _rhythm(moment):
            starts.append((moment, False))
    starts += [(randomness.uniform(end - _LIVE_SPAN_SECONDS, end), True) for _ in range(traffic.live_sessions)]
    starts.sort()
    return starts


def _rhythm(moment: float) -> float:
    """How busy the world is at a moment, 0 to 1: quietest at 04:00 UTC, busiest at 16:00."""
    hour = moment / 3600 % 24
    return 0.55 - 0.45 * math.cos((hour - 4) / 24 * 2 * math.pi)


class _Makers:
    """Makes sessions: lists of (event time in Unix seconds, event)."""

    def __init__(self, traffic: Traffic, randomness: random.Random, people: Sequence[Person]) -> None:
        self._randomness = randomness
        self._people = people
        self._users = [person for person in people if person.user_id]
        self._campaigns = [f"cmp-{number:03d}" for number in range(1, traffic.campaigns + 1)]
        self._passers_by = traffic.passers_by
        self._broken = traffic.broken

    def session(self, began: float) -> Iterator[tuple[float, Event]]:
        """Impressions first, then what they led to."""
        randomness = self._randomness
        if not self._people or randomness.random() < self._passers_by:
            browser = f"{VISITOR_PREFIX}{randomness.getrandbits(64):016x}"
            yield from self._advertising(began, browser, f"203.0.113.{randomness.randrange(1, 255)}", None)
            return
        person = self._people[
            int(len(self._people) * randomness.random() ** 2)
        ]  # some visit much more often than others
        browser, address = randomness.choice(person.browser_ids), randomness.choice(person.ip_addresses)
        yield from self._advertising(began, browser, address, person)
        if randomness.random() < 0.35:
            yield from self._visit(began + randomness.uniform(1, 60), browser, address, person)
        if person.wallet_address and randomness.random() < 0.25:
            yield self._wallet_button(began + randomness.uniform(20, 90), browser, person)
        if randomness.random() < 0.06:
            yield self._customer_record(began + randomness.uniform(60, 300), person)
        if self._broken and randomness.random() < self._broken * 5:  # about five events a session
            yield self._mistake(began)

    def live_session(self, began: float) -> Iterator[tuple[float, Event]]:
        """What a logged-in user does in the app right now: activity events."""
        randomness = self._randomness
        user = randomness.choice(self._users)
        moment = began
        for _ in range(randomness.randint(1, 6)):
            kind = randomness.choices(("view", "click", "purchase"), (70, 25, 5))[0]
            event: Event = {
                "event_id": self._event_id(),
                "source": "app",
                "type": kind,
                "user_id": user.user_id,
                "ts": _iso(moment),
            }
            if kind == "purchase":
                event["metadata"] = {"cents": randomness.randrange(500, 20000), "currency": "EUR"}
            yield moment, event
            moment += randomness.expovariate(0.2)

    def _advertising(
        self, began: float, browser: str, address: str, person: Person | None
    ) -> Iterator[tuple[float, Event]]:
        """Campaign events of the ad server; partners' ad scripts report some of the same kind in their own form."""
        randomness = self._randomness
        campaign = self._campaigns[int(len(self._campaigns) * randomness.random() ** 2)]
        creative = f"{campaign}-{randomness.choice(_FORMATS)}"
        moment = began
        if randomness.random() < 0.25:
            identifiers = {"browser_id": browser, "ip_address": address}
            yield moment, self._identified("ad_script", "ad_impression", moment, identifiers)
            if randomness.random() < 0.1:
                if person is not None and person.wallet_address:
                    identifiers = {"wallet_address": person.wallet_address, "browser_id": browser}
                yield moment + 2, self._identified("ad_script", "ad_click", moment + 2, identifiers)
            return
        for _ in range(1 + int(randomness.expovariate(0.35))):
            yield moment, self._campaign_event("impression", moment, campaign, creative, browser, address, person)
            if randomness.random() < 0.05:
                moment += randomness.uniform(0.5, 20)
                yield moment, self._campaign_event("click", moment, campaign, creative, browser, address, person)
            moment += randomness.expovariate(0.05)

    def _campaign_event(
        self, kind: str, moment: float, campaign: str, creative: str, browser: str, address: str, person: Person | None
    ) -> Event:
        randomness = self._randomness
        event: Event = {
            "event_id": self._event_id(),
            "source": "web" if kind == "click" else "ad_server",
            "type": kind,
            "occurred_at": _iso(moment),
            "campaign_id": campaign,
            "creative_id": creative,
        }
        if randomness.random() < 0.8:
            event["identifiers"] = {"browser_id": browser, "ip": address}
        if person is not None and person.user_id and randomness.random() < 0.2:
            event["user_id"] = person.user_id
        if randomness.random() < 0.5:
            event["metadata"] = {
                "placement": randomness.choice(("top", "side", "feed")),
                "bid_micros": randomness.randrange(100, 9000),
            }
        return event

    def _visit(self, began: float, browser: str, address: str, person: Person) -> Iterator[tuple[float, Event]]:
        """What the script on the shop's own pages sees, and what it learns when somebody logs in, signs up or buys."""
        randomness = self._randomness
        seen = {"browser_id": browser, "ip_address": address}
        known = dict(seen)
        moment = began
        yield moment, self._identified("web", "session_start", moment, seen)
        for _ in range(randomness.randint(1, 4)):
            moment += randomness.expovariate(0.05)
            if person.email and randomness.random() < 0.25:
                known["email"] = person.email if randomness.random() < 0.9 else person.email.upper()
            yield (
                moment,
                self._identified(
                    "analytics_script",
                    "page_view",
                    moment,
                    known,
                    {"page": randomness.choice(_PAGES), "referrer": None},
                ),
            )
        if person.email and randomness.random() < 0.3:
            moment += randomness.expovariate(0.02)
            details = dict(seen, email=person.email)
            if person.phone and randomness.random() < 0.5:
                details["phone"] = person.phone if randomness.random() < 0.5 else person.phone.replace(" ", "")
            yield moment, self._identified("web", "form_submit", moment, details)
        if person.user_id and randomness.random() < 0.1:
            moment += randomness.expovariate(0.02)
            buyer = dict(seen, user_id=person.user_id)
            if person.email:
                buyer["email"] = person.email
            yield (
                moment,
                self._identified("web", "purchase", moment, buyer, {"cents": randomness.randrange(500, 50000)}),
            )
        yield moment + 30, self._identified("web", "session_end", moment + 30, seen)

    def _wallet_button(self, moment: float, browser: str, person: Person) -> tuple[float, Event]:
        identifiers = {"wallet_address": person.wallet_address, "browser_id": browser}
        if person.email and self._randomness.random() < 0.3:
            identifiers["email"] = person.email
        return moment, self._identified("wallet", "click", moment, identifiers)

    def _customer_record(self, moment: float, person: Person) -> tuple[float, Event]:
        """The customer system has no browser, but ties the strong identifiers together."""
        details = {"email": person.email, "phone": person.phone, "user_id": person.user_id}
        identifiers = {kind: value for kind, value in details.items() if value} or {"browser_id": person.browser_ids[0]}
        return moment, self._identified("crm", "form_submit", moment, identifiers)

    def _mistake(self, moment: float) -> tuple[float, Event]:
        """An event that no version of the contract allows."""
        event: Event = {
            "event_id": self._event_id(),
            "source": "partner_feed",
            "type": "impression",
            "occurred_at": _iso(moment),
        }
        match self._randomness.randrange(3):
            case 0:
                event["type"] = "imprssion"
            case 1:
                event["occurred_at"] = "yesterday"
            case _:
                event["identifiers"] = ["browser-1"]
        return moment, event

    def _identified(
        self, source: str, kind: str, moment: float, identifiers: dict[str, str], metadata: dict[str, Any] | None = None
    ) -> Event:
        event: Event = {
            "event_id": self._event_id(),
            "source": source,
            "event_type": kind,
            "timestamp": round(moment, 3),
            "identifiers": dict(identifiers),
        }
        if metadata is not None:
            event["metadata"] = metadata
        return event

    def _event_id(self) -> str:
        """A UUIDv4, spelled by hand because the `uuid` module takes five times as long."""
        digits = f"{self._randomness.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes one event a line, as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m dmp_stack.generator", description="Write made-up events, one JSON object a line."
    )
    parser.add_argument(
        "--sessions", type=int, default=1000, help="a session has about five events (default: %(default)s)"
    )
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--hours", type=float, default=6.0, help="how far back the events go (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--end", type=datetime.fromisoformat, default=None, help="ISO 8601 with an offset (default: now)"
    )
    chosen = parser.parse_args(arguments)
    end = chosen.end or datetime.now(UTC)
    traffic = Traffic(
        start=end - timedelta(hours=chosen.hours),
        end=end,
        seed=chosen.seed,
        sessions=chosen.sessions,
        people=chosen.people,
    )
    for event in generate_events(traffic):
        sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
