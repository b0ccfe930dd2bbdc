"""Clients as they are in the world: they send batches, and send again, unchanged, what got no 202."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

CAMPAIGNS = ("chaos_a", "chaos_b", "chaos_c")
_RETRY_SECONDS = 0.2
_GIVE_UP_SECONDS = 90.0
_REQUEST_SECONDS = 10.0


@dataclass(slots=True)
class Ledger:
    """What the clients sent and what they were promised. Every client has its own; `total` adds them up."""

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)
    answers: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0

    def note(self, answer: str) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1


def total(ledgers: list[Ledger]) -> Ledger:
    """All ledgers as one."""
    whole = Ledger()
    for ledger in ledgers:
        whole.sent |= ledger.sent
        whole.promised |= ledger.promised
        whole.unanswered += ledger.unanswered
        for answer, count in ledger.answers.items():
            whole.answers[answer] = whole.answers.get(answer, 0) + count
    return whole


class Client(threading.Thread):
    """Sends batches until `enough` is set. One request of ten the client itself cuts off."""

    def __init__(self, url: str, *, seed: int, enough: threading.Event) -> None:
        super().__init__(name=f"client {seed}", daemon=True)
        self.ledger = Ledger()
        self._url = url
        self._random = random.Random(seed)
        self._enough = enough

    def run(self) -> None:
        earlier: list[dict[str, Any]] = []
        with httpx.Client(timeout=_REQUEST_SECONDS) as http:
            while not self._enough.is_set():
                batch = [self._event() for _ in range(self._random.choice((1, 1, 5, 40)))]
                if earlier and self._random.random() < 0.3:
                    batch += self._random.sample(earlier, min(5, len(earlier)))
                self._random.shuffle(batch)
                earlier = (earlier + batch)[-200:]
                self.ledger.sent |= {event["event_id"]: event for event in batch}
                self._send_until_promised(http, batch)

    def _event(self) -> dict[str, Any]:
        moment = datetime.now(UTC) - timedelta(seconds=self._random.choice((0, 0, 1, 90, 4000)))
        person = self._random.randrange(60)
        return {
            "event_id": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            "type": self._random.choice(("impression", "impression", "click", "view")),
            "campaign_id": self._random.choice(CAMPAIGNS),
            "source": self._random.choice(("web", "app")),
            "occurred_at": moment.isoformat(),
            **(
                {"identifiers": {"email": f"person{person}@chaos.example"}} if person % 3 else {"user_id": f"u{person}"}
            ),
        }

    def _send_until_promised(self, http: httpx.Client, batch: list[dict[str, Any]]) -> None:
        body = json.dumps(batch).encode()
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            if self._random.random() < 0.1:
                self._send_and_hang_up(body)
                continue
            try:
                answer = http.post(f"{self._url}/events", content=body)
            except httpx.HTTPError as error:
                self.ledger.note(type(error).__name__)
                time.sleep(_RETRY_SECONDS * self._random.random())  # a client's pause before it tries again
                continue
            self.ledger.note(str(answer.status_code))
            if answer.status_code == 202:
                results = answer.json()["results"]
                self.ledger.promised |= {result["event_id"] for result in results if result["status"] == "success"}
                return
            time.sleep(_RETRY_SECONDS * self._random.random())  # a client's pause before it tries again
        self.ledger.unanswered += 1

    def _send_and_hang_up(self, body: bytes) -> None:
        address = urlsplit(self._url)
        head = f"POST /events HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        try:
            with socket.create_connection((address.hostname or "", address.port or 80), timeout=2) as connection:
                connection.sendall(head + body)
        except OSError:
            pass
        self.ledger.note("hung up")
