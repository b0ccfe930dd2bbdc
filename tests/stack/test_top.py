"""`make top`: rates and quantiles of two readings, and what a terminal and a pipe get of them."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pexpect
import pyte
import pytest

from dmp_chassis.call_metrics import OF_CALLS
from dmp_chassis.store_metrics import OF_DATABASE, OF_REDIS
from dmp_identity.metrics import OF_IDENTITY
from dmp_ingest.metrics import OF_INGEST
from dmp_stack.stack import Stack
from dmp_stack.top import frame
from dmp_stack.top.frame import panels
from dmp_stack.top.readings import Change, Reading, Series, parsed
from dmp_stack.top.screen import metrics_urls
from dmp_stats.metrics import OF_STATS
from tests.conditions import wait_until


def change(before: list[str | None], now: list[str | None], *, seconds: float = 2.0) -> Change:
    """Of replicas that show these texts."""

    def series(text: str | None) -> Series | None:
        return None if text is None else parsed(text)

    return Change(
        Reading(at=10.0, replicas=[series(each) for each in before]),
        Reading(at=10.0 + seconds, replicas=[series(each) for each in now]),
    )


def events(accepted: int, duplicates: int = 0) -> str:
    return (
        "# TYPE e_total counter\n"
        f'e_total{{verdict="accepted",form="a"}} {accepted}\ne_total{{verdict="duplicate",form="a"}} {duplicates}\n'
    )


def test_rates_are_of_all_replicas_and_by_label() -> None:
    found = change([events(10), events(100, 5)], [events(14, 2), events(110, 5)])
    assert found.rate("e_total") == 8
    assert found.rates_by("verdict", "e_total") == {"accepted": 7, "duplicate": 1}
    assert found.rate("e_total", verdict="duplicate", form="a") == 1
    assert found.share("e_total", {"verdict": "accepted"}) == 14 / 16
    assert math.isnan(change([events(1)], [events(1)]).share("e_total", {"verdict": "accepted"}))


def test_a_replica_that_began_anew_or_came_back_counts_from_zero() -> None:
    found = change([events(1000), None], [events(6), events(4)])
    assert found.growth("e_total") == 10
    away = change([events(1)], [None])
    assert (away.away, away.growth("e_total")) == (1, 0)
    assert math.isnan(away.total("e_total"))


def histogram(*counts: int) -> str:
    bounds = zip(("0.1", "0.5", "1.0", "+Inf"), counts, strict=True)
    lines = "".join(f'h_bucket{{le="{bound}"}} {count}\n' for bound, count in bounds)
    return f"# TYPE h histogram\n{lines}h_count {counts[-1]}\nh_sum {counts[-1] / 2}\n"


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, (10, 10, 10, 10), 0.05),
        (0.5, (0, 10, 10, 10), 0.3),
        (0.9, (5, 5, 10, 10), 0.9),
        (0.99, (0, 0, 0, 10), 1.0),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(share: float, counts: tuple[int, ...], expected: float) -> None:
    before = tuple(each + 3 for each in (1, 2, 3, 4))
    now = tuple(each + more for each, more in zip(before, counts, strict=True))
    found = change([histogram(*before)], [histogram(*now)])
    assert found.quantile(share, "h") == pytest.approx(expected)
    assert found.mean("h") == pytest.approx(0.5)
    assert math.isnan(change([histogram(*now)], [histogram(*now)]).quantile(share, "h"))


def test_endpoints_name_every_replica_that_shows_metrics() -> None:
    text = (
        "DMP_HTTP_URL=http://a\nDMP_INGEST_METRICS_URL='http://a/metrics'\nDMP_INGEST_2_METRICS_URL=http://b/metrics\n"
        "DMP_STATS_METRICS_URL=''\nDMP_IDENTITY_METRICS_URL=http://c/metrics\n"
    )
    assert metrics_urls(text) == {"ingest": ["http://a/metrics", "http://b/metrics"], "identity": ["http://c/metrics"]}


def test_every_metric_that_is_shown_is_declared() -> None:
    declared = {each.name for each in (*OF_CALLS, *OF_DATABASE, *OF_REDIS, *OF_INGEST, *OF_IDENTITY, *OF_STATS)}
    shown = set(re.findall(r"[\"']((?:dmp|rpc)_\w+)[\"']", Path(frame.__file__).read_text()))
    assert len(shown) > 25
    assert {name.removesuffix("_count") for name in shown} - declared == set()


def test_what_somebody_should_look_at_is_marked() -> None:
    text = (
        "# TYPE dmp_ingest_audit_differences gauge\n"
        'dmp_ingest_audit_differences{of="counts"} 1\n'
        "# TYPE dmp_ingest_outbox_oldest_age_seconds gauge\n"
        'dmp_ingest_outbox_oldest_age_seconds{consumer="stats"} 61\n'
    )
    (panel,) = panels({"ingest": change([text], [text])})
    assert {line.name for line in panel.lines if line.alarming} == {"audit", "outbox stats"}
    (gone,) = panels({"stats": change([""], [None])})
    assert [(line.name, line.alarming) for line in gone.lines] == [("away", True)]


def endpoints(stack: Stack) -> str:
    return str(stack.log_directory.parent / "endpoints.env")


def send_one(stack: Stack) -> None:
    now = datetime.now(UTC).isoformat()
    event = {"event_id": uuid.uuid4().hex, "type": "click", "campaign_id": "top", "source": "s", "occurred_at": now}
    httpx.post(f"{stack.http_url}/events", json=event).raise_for_status()


def shown_rates(frame_text: str) -> dict[str, float]:
    """Events per second by the panel that says so."""
    found: dict[str, float] = {}
    title = ""
    for line in frame_text.splitlines():
        if heading := re.search(r"╭─+ (\w+)", line):
            title = heading[1]
        if said := re.search(r"events/s +([\d.,]+)", line):
            found[title] = float(said[1].replace(",", ""))
    return found


def test_a_pipe_gets_one_frame_of_what_happens(stack: Stack) -> None:
    command = [sys.executable, "-m", "dmp_stack", "top", "--interval", "1", "--endpoints", endpoints(stack)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def has_ended() -> bool:
            send_one(stack)
            return process.poll() is not None

        wait_until(has_ended, "the frame is printed", timeout_seconds=60)
        said, complaint = process.communicate()
    assert (process.returncode, complaint) == (0, "")
    assert "\x1b" not in said, "a pipe gets text"
    rates = shown_rates(said)
    assert set(rates) == {"ingest", "identity", "stats"}
    assert all(rates.values())
    for name in ("outbox identity", "outbox stats", "queue", "applied", "window", "pools", "erasures"):
        assert name in said
    assert max(map(len, said.splitlines())) <= 100


def test_a_terminal_gets_frames_until_ctrl_c(stack: Stack) -> None:
    rows, columns = 70, 110
    terminal = pyte.Screen(columns, rows)
    stream = pyte.Stream(terminal)
    arguments = ["-m", "dmp_stack", "top", "--interval", "0.3", "--endpoints", endpoints(stack)]
    # Without what readline, which pytest loads, has said of the size of another terminal.
    environment = {name: value for name, value in os.environ.items() if name not in {"LINES", "COLUMNS"}}
    child = pexpect.spawn(
        sys.executable, arguments, dimensions=(rows, columns), encoding="utf-8", timeout=30, env=environment
    )
    try:
        seen: set[str] = set()

        def shows(what: str) -> bool:
            try:
                stream.feed(child.read_nonblocking(size=65536, timeout=0.1))
            except pexpect.TIMEOUT:
                return False
            text = "\n".join(terminal.display)
            seen.update(re.findall(r"DMP +(\d\d:\d\d:\d\d)", text))
            return what in text

        for what in ("╭─ ingest", "╭─ identity", "╭─ stats"):
            wait_until(lambda what=what: shows(what), what, timeout_seconds=60)  # type: ignore[misc]
        wait_until(lambda: shows("DMP") and len(seen) >= 2, "another frame", timeout_seconds=60)
        child.kill(signal.SIGINT)
        rest = child.read()
        assert "\x1b[?1049l" in rest, "the terminal is as it was before"
    finally:
        child.close(force=True)
    assert child.exitstatus == 0


def test_without_a_system_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dmp_stack", "top", "--endpoints", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is the system running?" in done.stderr
