"""`python -m dmp_stack demo`: starts a throw-away stack, sends it realistic traffic, and shows what it made of it.

Everything goes through the gateway, as a script on a web page or a partner's server would send it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from dmp_stack.demo_client import DemoClient, DemoError
from dmp_stack.errors import StackError
from dmp_stack.generator import Event, Traffic, generate_events
from dmp_stack.people import Person, generate_people, reference_users
from dmp_stack.settings import StackSettings
from dmp_stack.stack import Stack

_CHUNK = 200
_SINGLES = 20
_BAR_WIDTH = 40
_MINUTES_SHOWN = 12


@dataclass(slots=True, kw_only=True)
class Sent:
    """What was sent and what came back, in total."""

    requests: Counter[str] = field(default_factory=Counter)
    events: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def demo() -> int:
    """Runs the demo and returns the exit code: 0 if everything was as it should be."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    started = time.monotonic()
    print(
        "Starting a throw-away system: gateway, three services, PostgreSQL, Valkey. Nothing of it is kept.", flush=True
    )
    try:
        with Stack(StackSettings(http_port=0, data_directory=None)) as stack:
            print(f"Ready after {time.monotonic() - started:.1f} s on {stack.http_url}.")
            with DemoClient(stack.grpc_address) as client:
                show(client, now=datetime.now(UTC))
            print("\nStopping.", flush=True)
    except (StackError, DemoError) as error:
        print(f"dmp: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"Done, {time.monotonic() - started:.0f} s in all.\n\n{_NEXT}")
    return 0


_NEXT = """What to try next
  make run                         the same system, kept in .data/, on http://127.0.0.1:8080
  http://127.0.0.1:8080/console    campaigns and people, to look at
  http://127.0.0.1:8080/docs       every endpoint, to try out in the browser
  .venv/bin/python -m dmp_stack.generator --sessions 1000 > events.jsonl      more of this traffic"""


def show(client: DemoClient, *, now: datetime) -> None:
    """Sends the traffic of the six hours before `now` to a healthy system and prints what can be read from it."""
    traffic = Traffic(
        start=now - timedelta(hours=6), end=now, seed=7, sessions=1000, live_sessions=120, people=150, broken=0.003
    )
    people = generate_people(seed=traffic.seed, people=traffic.people)
    events = list(generate_events(traffic))
    _show_totals(*_send(client, events))
    _show_person(client, people, events)
    _show_campaign(client, events, now=now)
    _show_metrics(client, people, now=now)


# -- sending


def _send(client: DemoClient, events: Sequence[Event]) -> tuple[Sent, float]:
    sent = Sent()
    began = time.monotonic()
    for shape, body, count in _requests(events):
        answer = client.post("/events", body, expected=(202, 422))
        sent.requests[shape] += 1
        sent.events += count
        for kind in ("accepted", "duplicates", "rejected"):
            sent.answers[kind] += answer[kind]
        for result in answer["results"]:
            for name, messages in result.get("errors", {}).items():
                sent.problems.append(f"{name}: {messages[0]}")
    return sent, time.monotonic() - began


def _requests(events: Sequence[Event]) -> Iterator[tuple[str, Any, int]]:
    """The three shapes of the contract in turn: single events, batches of one source, arrays of everything."""
    for number, start in enumerate(range(0, len(events), _CHUNK)):
        chunk = events[start : start + _CHUNK]
        if number % 6 == 0:
            for event in chunk[:_SINGLES]:
                yield "single", event, 1
            chunk = chunk[_SINGLES:]
        if number % 2 == 0:
            yield "array", chunk, len(chunk)
            continue
        by_source: defaultdict[str, list[Event]] = defaultdict(list)
        for event in chunk:
            by_source[event["source"]].append({name: value for name, value in event.items() if name != "source"})
        for source, own in by_source.items():
            yield "batch", {"source": source, "events": own}, len(own)


def _show_totals(sent: Sent, seconds: float) -> None:
    shapes = ", ".join(f"{count} {shape}" for shape, count in sent.requests.items())
    print(
        f"\n1. Sent {sent.events} events, one request after the other, in {seconds:.1f} s:"
        f" {sent.requests.total()} requests ({shapes})."
    )
    print(f"   {sent.answers['accepted']:6} accepted: stored once, whatever happens now")
    print(f"   {sent.answers['duplicates']:6} duplicates: sent twice, counted once")
    print(f"   {sent.answers['rejected']:6} rejected, each with its reason; their neighbours were not harmed:")
    for problem, count in Counter(sent.problems).most_common(3):
        print(f"          {count} x {problem}")


# -- a person


def _show_person(client: DemoClient, people: Sequence[Person], events: Sequence[Event]) -> None:
    person, knowledge = _most_fragmented(people, events)
    match = client.get("/debug/match", identifier="email", value=person.email)
    profile = client.get(f"/users/{match['internal_user_id']}")
    print("\n2. One person. What each source knew of them (browsers and addresses left out):")
    for source, identifiers in sorted(knowledge.items()):
        print(f"   {source:>17}: {', '.join(sorted(identifiers))}")
    print(f"   GET /debug/match?identifier=email&value={person.email}  ->  {match['internal_user_id']}")
    print(f"   GET /users/{match['internal_user_id']}:")
    for kind, values in profile["identifiers"].items():
        if isinstance(values, list) and values:
            print(f"   {kind:>17}: {', '.join(values)}")
    timeline = profile["events"]
    by_source = Counter(entry["source"] for entry in timeline)
    origins = ", ".join(f"{count} {source}" for source, count in by_source.most_common())
    print(f"   {'timeline':>17}: {len(timeline)} events, {origins}. The last ones:")
    for entry in timeline[-4:]:
        moment = datetime.fromtimestamp(entry["timestamp"], UTC)
        print(f"   {moment:%H:%M:%S}".rjust(20) + f"  {entry['event_type']} ({entry['source']})")
    print(f"   {'merged_ids':>17}: {', '.join(profile['merged_ids']) or 'none'} (they still answer)")
    others = len(profile["possible_matches"])
    print(f"   {'possible_matches':>17}: {others} others, who share a browser: shown, never merged by themselves")


def _most_fragmented(people: Sequence[Person], events: Sequence[Event]) -> tuple[Person, Mapping[str, set[str]]]:
    """The person whose strong identifiers came in most kinds and from most sources, with the values by source."""
    owners = {
        value: person
        for person in people
        for value in (person.email, person.phone, person.wallet_address, person.user_id)
        if value
    }
    knowledge: defaultdict[Person, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for event in events:
        identifiers = event.get("identifiers")
        known = {**identifiers, "user_id": event.get("user_id", "")} if isinstance(identifiers, dict) else {}
        for value in known.values():
            owner = owners.get(value)
            if owner is not None:
                knowledge[owner][event["source"]].add(value)

    def fragmentation(person: Person) -> tuple[int, int]:
        return len(set().union(*knowledge[person].values())), len(knowledge[person])

    chosen = max((person for person in knowledge if person.email), key=fragmentation)
    return chosen, knowledge[chosen]


# -- numbers


def _show_campaign(client: DemoClient, events: Sequence[Event], *, now: datetime) -> None:
    campaign, _ = Counter(event["campaign_id"] for event in events if "campaign_id" in event).most_common(1)[0]
    stats = client.get(
        "/stats",
        campaign_id=campaign,
        **{"from": _instant(now - timedelta(hours=6)), "to": _instant(now)},
        granularity="minute",
    )
    series = stats["series"]
    impressions, clicks = (sum(point[kind] for point in series) for kind in ("impressions", "clicks"))
    print(f"\n3. GET /stats?campaign_id={campaign} over six hours: {len(series)} minutes")
    expected = {event["event_id"] for event in events if event.get("campaign_id") == campaign}
    if impressions + clicks != len(expected):
        raise DemoError(f"{len(expected)} events of {campaign} were sent, {impressions + clicks} were counted")
    print(f"   with {impressions} impressions and {clicks} clicks, exactly what was sent. The last ones:")
    highest = max(point["impressions"] for point in series[-_MINUTES_SHOWN:]) or 1
    for point in series[-_MINUTES_SHOWN:]:
        bar = "#" * round(point["impressions"] / highest * _BAR_WIDTH)
        print(f"   {point['ts'][11:16]}  {point['impressions']:4} impressions {point['clicks']:3} clicks  {bar}")


def _show_metrics(client: DemoClient, people: Sequence[Person], *, now: datetime) -> None:
    users = reference_users(people)
    replaced = client.put("/reference/users", {"user_metadata": users, "ts": _instant(now)})
    metrics = client.get("/metrics", window="300")
    print(f"\n4. PUT /reference/users with {len(users)} users  ->  generation {replaced['generation']}")
    print("   GET /metrics?window=300:")
    for name, value in metrics.items():
        shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        print(f"   {name:>17}: {shown}")


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
