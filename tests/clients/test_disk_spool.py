"""Events on disk survive the process: killed, forked, or one of several on one file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from dmp_client import DmpClient, SpoolError, SpoolFullError
from dmp_client.disk_spool import DiskSpool

Make = Callable[..., DmpClient]
AssertCounted = Callable[[str, int], None]
SOURCES = Path(__file__).parents[2] / "clients" / "python" / "src"
NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there."""


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs some Python."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_next_process_sends_what_a_killed_one_left(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    spool = tmp_path / "events.spool"
    code = """
        import signal, sys
        from dmp_client import DmpClient
        dmp = DmpClient(sys.argv[1], spool=sys.argv[2], source="test")
        for _ in range(300):
            dmp.track("click", campaign_id=sys.argv[3])
        print("tracked", flush=True)
        signal.pause()
    """
    with run(code, NOWHERE, str(spool), campaign) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "tracked\n"
        process.send_signal(signal.SIGKILL)
    client = make_client(gateway_url)
    assert client.resume() == 300
    assert client.flush(30)
    assert client.health().waiting == 0
    assert_counted(campaign, 300)


def test_a_process_that_lives_keeps_its_events(tmp_path: Path) -> None:
    first = DiskSpool(tmp_path / "a.spool", max_bytes=1 << 20)
    first.append("one", b"{}")
    second = DiskSpool(tmp_path / "a.spool", max_bytes=1 << 20)
    assert second.waiting() == (0, None)
    first.close()
    assert second.adopt() == 1
    [event] = second.after(0, most_events=10, most_bytes=1 << 20)
    assert (event.event_id, event.body) == ("one", b"{}")
    second.remove([event.seq])
    second.close()
    assert list((tmp_path / "a.spool.owners").iterdir()) == []


def test_parent_and_child_send_their_own_events_once(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    code = """
        import os, sys
        from dmp_client import DmpClient
        dmp = DmpClient(sys.argv[1], spool=sys.argv[2], source="test")
        for _ in range(100):
            dmp.track("click", campaign_id=sys.argv[3])
        child = os.fork()
        for _ in range(50):
            dmp.track("view", campaign_id=sys.argv[3])
        answered = dmp.flush(30)
        health = dmp.health()
        if child:
            _, status = os.waitpid(child, 0)
            print(answered, health.accepted, health.duplicates, status, flush=True)
        else:
            os._exit(0 if answered and (health.accepted, health.duplicates) == (50, 0) else 1)
    """
    with run(code, gateway_url, str(tmp_path / "fork.spool"), campaign) as process:
        assert process.communicate(timeout=60)[0].split() == ["True", "150", "0", "0"]
    assert_counted(campaign, 200)


@pytest.mark.parametrize("place", ["MEMORY", "sys.argv[2]"])
def test_the_first_event_may_come_while_the_process_ends_or_crashes(
    gateway_url: str, campaign: str, assert_counted: AssertCounted, tmp_path: Path, place: str
) -> None:
    code = f"""
        import atexit, sys
        from dmp_client import MEMORY, DmpClient
        dmp = DmpClient(sys.argv[1], spool={place}, source="test")
        atexit.register(lambda: dmp.track("click", campaign_id=sys.argv[3]))
        sys.excepthook = lambda *_: dmp.track("click", campaign_id=sys.argv[3])
        if sys.argv[4] == "crash":
            raise RuntimeError
    """
    for ending, returncode in (("end", 0), ("crash", 1)):
        with run(code, gateway_url, str(tmp_path / "exit.spool"), campaign, ending) as process:
            process.communicate(timeout=60)
            assert process.returncode == returncode
    assert_counted(campaign, 3)


def test_a_full_spool_refuses_and_takes_more_when_it_was_emptied(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "a.spool", max_bytes=64 << 10)
    kept: list[int] = []
    with pytest.raises(SpoolFullError):
        kept.extend(spool.append(f"e{number}", b"x" * 500) for number in range(1000))
    count, _ = spool.waiting()
    assert 20 < count < 128
    spool.remove([event.seq for event in spool.after(0, most_events=1000, most_bytes=1 << 30)])
    assert spool.append("again", b"{}") > 0
    spool.close()


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "private" / "a.spool", max_bytes=1 << 20)
    spool.append("one", b"{}")
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "private").rglob("*")}
    assert set(modes.values()) == {0}, modes
    spool.close()


def test_a_file_that_is_no_spool_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which are long enough to be no database\n" * 50)
    with pytest.raises(SpoolError):
        DiskSpool(path, max_bytes=1 << 20)
    assert path.read_text().startswith("my notes")
