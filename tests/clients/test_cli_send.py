"""`dmp send`: files as events, each counted once, whatever happens to the command."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.clients.interposed import Interposed, Said
from tests.clients.terminal import Shell
from tests.conditions import wait_until

AssertCounted = Callable[[str, int], None]
TODAY = "2026-02-10T21:10:00Z"


@pytest.fixture
def moments() -> Callable[[int], str]:
    """Times of today, as the fixture that counts looks there."""
    from datetime import UTC, datetime, timedelta

    begin = datetime.now(UTC) - timedelta(hours=1)
    return lambda number: (begin + timedelta(milliseconds=number)).isoformat().replace("+00:00", "Z")


@pytest.fixture
def lines(campaign: str, moments: Callable[[int], str]) -> Callable[..., list[dict[str, Any]]]:
    """Makes events without ids."""

    def make(count: int, **fields: object) -> list[dict[str, Any]]:
        return [
            {"type": "click", "campaign_id": campaign, "source": "log", "occurred_at": moments(number), **fields}
            for number in range(count)
        ]

    return make


def ndjson(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


Lines = Callable[..., list[dict[str, Any]]]


def test_a_file_is_sent_once_however_often_it_is_sent(
    shell: Shell, lines: Lines, campaign: str, assert_counted: AssertCounted
) -> None:
    (shell.home / "log.ndjson").write_bytes(ndjson(lines(2500)) + b"\n   \n")
    first = shell.run("send", "log.ndjson")
    assert first.stdout == "sent 2,500 events: 2,500 accepted\n"
    assert first.stderr == ""
    again = shell.run("send", "log.ndjson", "--json")
    assert json.loads(again.stdout)["duplicate"] == 2500
    packed = gzip.compress(ndjson(lines(2500)))
    (shell.home / "renamed.gz").write_bytes(packed)
    assert "2,500 duplicate" in shell.run("send", "renamed.gz").stdout
    assert "2,500 duplicate" in shell.run("send", "-", stdin=packed).stdout
    assert "2,500 duplicate" in shell.run("send", "-", "--batch", "7", stdin=ndjson(lines(2500))).stdout
    assert_counted(campaign, 2500)


def test_lines_that_are_the_same_are_events_of_their_own(
    shell: Shell, lines: Lines, campaign: str, assert_counted: AssertCounted, moments: Callable[[int], str]
) -> None:
    body = ndjson(lines(1) * 3)
    assert "3 accepted" in shell.run("send", "-", stdin=body).stdout
    assert "3 duplicate" in shell.run("send", "-", stdin=body).stdout
    assert "3 duplicate, 1 accepted" not in shell.run("send", "-", stdin=body + ndjson(lines(1))).stdout
    assert_counted(campaign, 4)


def test_what_is_wrong_is_told_and_kept(
    shell: Shell, lines: Lines, campaign: str, assert_counted: AssertCounted
) -> None:
    good, bad = lines(2), lines(1, type="nonsense")
    body = (
        ndjson([good[0], *bad])
        + b'{"half": \n[1]\n{"event_id": 7}\n{}\n'
        + ndjson([{**good[1], "event_id": "e" * 300}])
    )
    (shell.home / "mixed.ndjson").write_bytes(body)
    judged = shell.run("send", "mixed.ndjson", "--dry-run", expect=1)
    assert judged.stdout == "judged 7 events: 1 valid, 6 rejected\n"
    sent = shell.run("send", "mixed.ndjson", "--rejects", "rejects.ndjson", "--json", expect=1)
    answer = json.loads(sent.stdout)
    assert (answer["accepted"], answer["rejected"], answer["conflict"]) == (1, 6, 0)
    rejects = [json.loads(line) for line in (shell.home / "rejects.ndjson").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [2, 3, 4, 5, 6, 7]
    assert [set(reject["errors"]) for reject in rejects[:4]] == [{"type"}, {"event"}, {"event"}, {"event_id"}]
    assert rejects[0]["event"] == bad[0]
    assert rejects[1]["event"] == '{"half":'
    assert_counted(campaign, 1)


def test_a_dry_run_stores_nothing(shell: Shell, lines: Lines, campaign: str, assert_counted: AssertCounted) -> None:
    (shell.home / "log.ndjson").write_bytes(ndjson(lines(6000)))
    assert shell.run("send", "log.ndjson", "--dry-run").stdout == "judged 6,000 events: 6,000 valid\n"
    assert_counted(campaign, 0)
    assert "6,000 accepted" in shell.run("send", "log.ndjson").stdout


def test_a_killed_command_goes_on_where_it_was(
    shell: Shell, lines: Lines, between: Interposed, campaign: str, assert_counted: AssertCounted
) -> None:
    (shell.home / "log.ndjson").write_bytes(ndjson(lines(1000)))
    shell.url = between.url
    command = ["send", "log.ndjson", "--batch", "100"]
    for killed_after in (3, 6):
        seen = len(between.seen)
        between.behaviour = lambda _, seen=seen, most=killed_after: hold(between, seen, most)  # type: ignore[misc]
        running = shell.start(*command)
        wait_until(lambda seen=seen, most=killed_after: len(between.seen) == seen + most, "batches arrive")  # type: ignore[misc]
        running.send_signal(signal.SIGKILL)
        running.wait(10)
        running.communicate()
        between.open.set()
    between.behaviour = lambda _: None
    before = len(between.seen)
    last = shell.run(*command)
    assert "goes on behind line 700" in last.stderr
    assert last.stdout.startswith("sent 1,000 events: ")
    assert len(between.seen) - before == 3
    assert_counted(campaign, 1000)


def hold(between: Interposed, seen: int, most: int) -> Said | None:
    """Passes on so many requests less one, and never answers the last."""
    if len(between.seen) >= seen + most:
        between.open.clear()
        between.open.wait(30)
    return None


def test_a_file_that_changed_begins_again(shell: Shell, lines: Lines, between: Interposed) -> None:
    shell.url = between.url
    log = shell.home / "log.ndjson"
    log.write_bytes(ndjson(lines(300)))
    between.behaviour = lambda _: Said(status=503) if len(between.seen) > 1 else None
    failed = shell.run("send", "log.ndjson", "--batch", "100", "--patience", "1", expect=5)
    assert "Repeat the command" in failed.stderr
    between.behaviour = lambda _: None
    log.write_bytes(ndjson(lines(300, type="view")))
    done = shell.run("send", "log.ndjson", "--batch", "100")
    assert "goes on" not in done.stderr
    assert done.stdout == "sent 300 events: 300 accepted\n"


def test_csv_with_a_mapping(shell: Shell, campaign: str, moments: Callable[[int], str]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["kind", "campaign_id", "occurred_at", "mail", "price", "note", "event_id", "internal"])
    for number in range(30):
        note = f'say "hi",\nagain {number}'
        table.writerow(["purchase", campaign, moments(number), f"p{number}@x.example", "9.50", note, "", "x"])
    table.writerow(["purchase", campaign, moments(99), "", "cheap", "", "", ""])
    (shell.home / "shop.csv").write_text("\ufeff" + text.getvalue())
    rules = ["kind=type", "mail=identifiers.email", "price=metadata.price:number", "note=metadata.note"]
    options = [part for rule in rules for part in ("--map", rule)]
    sent = shell.run(
        "send", "shop.csv", "--source", "shop", *options, "--rejects", "no.ndjson", "--batch", "7", expect=1
    )
    assert sent.stdout == "sent 31 events: 30 accepted, 1 rejected\n"
    assert "left out, no field has their name: internal" in sent.stderr
    assert "column 'price' has 'cheap', which is no number" in (shell.home / "no.ndjson").read_text()
    found = json.loads(shell.run("user", "email:p3@x.example", "--json").stdout)
    stored = json.loads(shell.run("--json", "event", found["events"][-1]["event_id"]).stdout)
    assert stored["event"]["metadata"] == {"price": 9.5, "note": 'say "hi",\nagain 3'}
    assert (
        shell.run("send", "shop.csv", "--map", "nope=type", expect=2).stderr.count("There are kind, campaign_id") == 1
    )
    assert shell.run("send", "shop.csv", "--map", "kind=colour", expect=2).stderr.count("there is no field") == 1


def test_parquet(shell: Shell, campaign: str, assert_counted: AssertCounted) -> None:
    from datetime import UTC, datetime

    table = pyarrow.Table.from_pydict(
        {
            "type": ["click"] * 5000,
            "campaign_id": [campaign] * 5000,
            "source": ["lake"] * 5000,
            "occurred_at": [datetime.now(UTC)] * 5000,
            "price": [1.5] * 5000,
        }
    )
    parquet.write_table(table, shell.home / "lake.parquet")
    sent = shell.run("send", "lake.parquet", "--map", "price=metadata.price:number")
    assert sent.stdout == "sent 5,000 events: 5,000 accepted\n"
    assert_counted(campaign, 5000)
    (shell.home / "no.parquet").write_bytes(b"PAR1 or not")
    assert "is no Parquet file" in shell.run("send", "no.parquet", expect=2).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "nowhere.ndjson"], "there is no file nowhere.ndjson"),
        (["send", "broken.gz"], "broken.gz cannot be read"),
        (["send", "ok.ndjson", "--rejects", "/proc/no/rejects"], "cannot be written"),
        (["send", "ok.ndjson", "--map", "what"], "is no rule"),
    ],
)
def test_files_that_cannot_be_used(shell: Shell, arguments: list[str], says: str) -> None:
    (shell.home / "ok.ndjson").write_bytes(b"{}\n")
    (shell.home / "broken.gz").write_bytes(b"\x1f\x8b nothing")
    assert says in shell.run(*arguments, expect=2).stderr


def test_the_bar_shows_rate_and_verdicts(shell: Shell, lines: Lines, between: Interposed) -> None:
    shell.url = between.url
    (shell.home / "log.ndjson").write_bytes(ndjson(lines(400)))
    between.behaviour = lambda _: hold(between, 0, 3)
    terminal = shell.terminal("send", "log.ndjson", "--batch", "100")
    screen = terminal.wait_for("200 accepted")
    assert "log.ndjson" in screen
    assert "50%" in screen
    assert "/s" in screen
    between.behaviour = lambda _: None
    between.open.set()
    assert terminal.end() == 0
    assert "sent 400 events: 400 accepted" in terminal.text


def test_a_large_line_and_a_deep_one_spoil_nothing(
    shell: Shell, lines: Lines, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    huge = b'{"type":"click","metadata":"' + b"x" * 5_000_000 + b'"}\n'
    deep = b'{"type":"click","metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    (shell.home / "log.ndjson").write_bytes(huge + deep + ndjson(lines(3)))
    sent = shell.run("send", "log.ndjson", expect=1)
    assert sent.stdout == "sent 5 events: 3 accepted, 2 rejected\n"
    assert_counted(campaign, 3)
