"""Who asks for the largest answers and hardly reads them costs nobody else anything, however many do."""

from __future__ import annotations

import json
import selectors
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.conditions import wait_until
from tests.hostile.harness import System
from tests.hostile.test_requests import sent

SLOW_SECONDS = 6.0
READ_EVERY_SECONDS = 0.25
READ_AT_ONCE = 4
RECEIVE_BUFFER = 4096
ANSWERED = {b"200", b"422"}

MINUTES = "campaign_id=camp_slow&from=2026-01-01T00:00:00Z&to=2026-05-18T00:00:00Z&granularity=minute&fill=zero"
EVENTS = json.dumps([{"event_id": str(number)} for number in range(300)])
"""The answer has a verdict of 150 bytes for each event."""
MOST_EVENTS = json.dumps([{}] * 10_000)
"""The answer has megabytes."""


def request(method: str, target: str, *, accept: str = "*/*", body: str = "") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nhost: dmp\r\naccept: {accept}\r\ncontent-length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


class SlowReaders:
    """Connections that each ask and then read a few bytes a second; who is refused asks again."""

    def __init__(self, url: str, ask: bytes, *, readers: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port)
        self._ask = ask
        self._readers = readers
        self.refused = 0
        self.answered = 0

    def read_for(self, seconds: float) -> None:
        """Asks on every connection and reads slowly for as long."""
        ends = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for _ in range(self._readers):
                self._connect(selector)
            while time.monotonic() < ends:
                for key, _ in selector.select(0):
                    self._read_a_little(selector, key)
                time.sleep(READ_EVERY_SECONDS)  # how slowly they read is the attack
            for key in list(selector.get_map().values()):
                self._close(selector, key)

    def _connect(self, selector: selectors.BaseSelector) -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        connection.settimeout(10)
        connection.connect(self._address)
        connection.sendall(self._ask)
        selector.register(connection, selectors.EVENT_READ, [b""])

    def _close(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        selector.unregister(key.fileobj)
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()

    def _read_a_little(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        connection = key.fileobj
        assert isinstance(connection, socket.socket)
        seen: list[bytes] = key.data
        piece = connection.recv(READ_AT_ONCE)
        before, seen[0] = seen[0], (seen[0] + piece)[:12]
        refused = seen[0].startswith(b"HTTP/1.1 4") and seen[0].endswith(b"429")
        if not piece or (len(seen[0]) == 12 and refused):
            self.refused += 1
            self._close(selector, key)
            self._connect(selector)
        elif len(before) < 12 <= len(seen[0]):
            assert seen[0].split()[1] in ANSWERED, seen[0]
            self.answered += 1


@pytest.fixture(scope="module")
def campaign_of_each_minute(system: System) -> None:
    """A campaign that has, with `fill=zero`, nearly as many points as an answer can."""
    events = [
        {
            "event_id": f"slow-{number}",
            "type": "click",
            "campaign_id": "camp_slow",
            "source": "web",
            "occurred_at": f"2026-02-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00Z",
        }
        for number in range(1000)
    ]
    assert sent(system, "POST", "/events", json.dumps(events).encode()).status_code == 202
    wait_until(lambda: len(sent(system, "GET", f"/stats?{MINUTES}", b"").content) > 1 << 20, "the events are counted")


@pytest.mark.usefixtures("campaign_of_each_minute")
@pytest.mark.parametrize(
    ("ask", "readers"),
    [
        pytest.param(request("GET", f"/stats?{MINUTES}"), 30, id="stats-30"),
        pytest.param(request("GET", f"/stats?{MINUTES}"), 100, id="stats-100"),
        pytest.param(request("GET", f"/stats?{MINUTES}", accept="text/csv"), 30, id="csv-30"),
        pytest.param(request("GET", f"/stats?{MINUTES}", accept="text/csv"), 100, id="csv-100"),
        pytest.param(request("GET", "/live"), 30, id="live-30"),
        pytest.param(request("GET", "/live"), 100, id="live-100"),
        pytest.param(request("POST", "/events", body=EVENTS), 30, id="events-30"),
        pytest.param(request("POST", "/events", body=MOST_EVENTS), 30, id="most-events-30"),
    ],
)
def test_slow_readers_of_long_answers(system: System, ask: bytes, readers: int) -> None:
    slow = SlowReaders(system.url, ask, readers=readers)
    system.assert_nobody_else_is_harmed_by(lambda: slow.read_for(SLOW_SECONDS))
    print(f"{slow.answered} answers begun, {slow.refused} refused")
    assert slow.answered > 0
