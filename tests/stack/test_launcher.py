"""`make run` as a person has it: ready, restarted, stopped, killed, twice on one machine."""

from __future__ import annotations

import shlex
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conditions import is_gone, wait_until
from tests.servers import PostgresFixture
from tests.speed import slowness
from tests.stack.launcher import Launcher, launcher, marked_processes, run_directory_of

EVENT = {
    "event_id": "launcher-1",
    "event_type": "page_view",
    "source": "test",
    "timestamp": 1700000000,
    "identifiers": {"email": "kept@example.com"},
}
SERVICES = {"dmp_ingest serve", "dmp_identity serve", "dmp_stats serve"}
EVERYTHING = SERVICES | {"envoy", "postgres", "valkey-server"}

WARM_START_SECONDS = 8.0

UsedData = Callable[[str], Path]

pytestmark = pytest.mark.timeout(180)


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def send(url: str, event: dict[str, object] = EVENT) -> httpx.Response:
    return httpx.post(f"{url}/events", json=event, timeout=20, trust_env=False)


def knows(url: str, email: str) -> bool:
    query = {"identifier": "email", "value": email}
    return httpx.get(f"{url}/debug/match", params=query, timeout=20, trust_env=False).status_code == 200


def replaced(running: Launcher, program: str, pid: int) -> bool:
    return running.children().get(program, pid) != pid


def end_everything(running: Launcher, data: Path, number: signal.Signals) -> None:
    """Ends a launcher that is ready, by a signal: every process that it started ends within ten seconds."""
    family = running.family()
    assert set(running.children()) == EVERYTHING
    run_directory = run_directory_of(data)
    assert set(running.children().values()) <= set(marked_processes(run_directory))
    assert running.end(number) == 0
    assert [pid for pid in family if not is_gone(pid)] == []
    assert marked_processes(run_directory) == []
    assert not run_directory.exists()
    assert "killed" not in running.output


def test_a_first_and_a_warm_start_print_one_ready_line_and_a_request_to_paste(temporary: Path) -> None:
    with launcher(DMP_DATA_DIR=str(temporary / "data")) as first:
        url = first.wait_ready()
        assert healthy(url)
        command = shlex.split(first.wait_for_line("curl "))
        assert command[:2] == ["curl", f"{url}/events"]
        assert command[2] == "-d"
        answer = httpx.post(command[1], content=command[3], timeout=20, trust_env=False)
        assert answer.status_code == 202, answer.text
        assert first.end() == 0
        assert [line.split()[1] for line in first.lines if line.startswith("dmp: ")] == [
            "starting;",
            "ready",
            "stopping",
            "stopped",
        ]
    begun = time.monotonic()
    with launcher(DMP_DATA_DIR=str(temporary / "data")) as warm:
        url = warm.wait_ready()
        # On a machine that others keep busy, the processor time that it took is the fairer measure.
        took = min(time.monotonic() - begun, warm.processor_seconds())
        assert took < WARM_START_SECONDS * slowness()
        assert knows(url, "a@b.com")
        end_everything(warm, temporary / "data", signal.SIGINT)


def test_a_service_whose_work_does_not_end_is_not_waited_for_too_long(used_data: UsedData) -> None:
    data = used_data("data")
    with launcher(DMP_DATA_DIR=str(data)) as running:
        url = running.wait_ready()
        # Somebody who listens for ever keeps the gateway busy until it is told to end.
        with httpx.stream("GET", f"{url}/live", timeout=20, trust_env=False):
            psutil.Process(running.children()["dmp_identity serve"]).suspend()
            assert send(url).json()["applied"] is False  # ingest goes on handing it over, for longer than there is time
            assert running.end() == 0
        assert "killed" not in running.output


def test_a_signal_while_it_starts_ends_everything_too(temporary: Path) -> None:
    with launcher(DMP_DATA_DIR=str(temporary / "data")) as running:
        wait_until(lambda: len(running.family()) >= 3, "children")
        family = running.family()
        assert running.end() == 0
        assert [pid for pid in family if not is_gone(pid)] == []
        assert "Traceback" not in running.output


def test_a_killed_launcher_leaves_nothing_that_stops_the_next_one(used_data: UsedData) -> None:
    data = used_data("data")
    with launcher(DMP_DATA_DIR=str(data)) as killed:
        url = killed.wait_ready()
        assert send(url).status_code == 202
        run_directory = run_directory_of(data)
        killed.process.kill()
        killed.process.wait()
    with launcher(DMP_DATA_DIR=str(data)) as following:
        url = following.wait_ready()
        assert marked_processes(run_directory) == []
        assert not run_directory.exists()
        assert knows(url, "kept@example.com")
        answer = send(url).json()
        assert (answer["accepted"], answer["duplicates"]) == (0, 1)
        end_everything(following, data, signal.SIGHUP)


def test_two_stacks_side_by_side_know_nothing_of_each_other_and_share_no_data(used_data: UsedData) -> None:
    data = used_data("one")
    with launcher(DMP_DATA_DIR=str(data)) as one, launcher(DMP_DATA_DIR=str(used_data("two"))) as two:
        one.wait_for_line("starting")
        wait_until(lambda: len(one.family()) > 0, "children")
        third = Launcher({"DMP_DATA_DIR": str(data)})
        assert third.process.wait(timeout=30) == 1
        assert "another stack is running on the data directory" in third.wait_for_line("another stack")
        urls = one.wait_ready(), two.wait_ready()
        assert urls[0] != urls[1]
        assert send(urls[0]).status_code == 202
        assert knows(urls[0], "kept@example.com")
        assert not knows(urls[1], "kept@example.com")
        assert one.end() == 0
        assert healthy(urls[1])


def test_each_child_that_is_killed_comes_back_and_a_line_says_so(used_data: UsedData) -> None:
    data = used_data("data")
    names = {"postgres": "postgres", "valkey-server": "valkey", "envoy": "gateway"}
    names |= {f"dmp_{context} serve": context for context in ("ingest", "identity", "stats")}
    with launcher(DMP_DATA_DIR=str(data)) as running:
        url = running.wait_ready()
        for program, name in names.items():
            pid = running.children()[program]
            psutil.Process(pid).kill()
            running.wait_for_line(f"dmp: {name} died (signal SIGKILL), restarting in 0.1 s")
            wait_until(partial(replaced, running, program, pid), f"{name} back")
            wait_until(lambda: healthy(url), f"healthy after {name} died", timeout_seconds=30)
            assert send(url, {**EVENT, "event_id": f"after-{name}"}).status_code == 202
        end_everything(running, data, signal.SIGTERM)


def test_a_taken_port_is_said_before_anything_starts(temporary: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = Launcher({"DMP_DATA_DIR": str(temporary / "data"), "DMP_HTTP_PORT": str(port)})
        assert refused.process.wait(timeout=20) == 1
        refused.wait_for_line(f"port {port} on 127.0.0.1 is taken")
        assert not (temporary / "data" / "postgres").exists()


def test_wrong_settings_are_all_named_at_once() -> None:
    refused = Launcher({"DMP_HTTP_PORT": "http", "DMP_EPHEMERAL": "perhaps"})
    assert refused.process.wait(timeout=20) == 2
    refused.wait_for_line("DMP_HTTP_PORT must be a whole number")
    refused.wait_for_line("DMP_EPHEMERAL must be true or false")


def test_an_ephemeral_stack_leaves_nothing(temporary: Path) -> None:
    data = temporary / "never-made"
    everywhere = "0.0.0.0"  # noqa: S104 - what a person may ask for
    with launcher(
        DMP_EPHEMERAL="1",
        TMPDIR=str(temporary),
        DMP_DATA_DIR=str(data),
        DMP_HTTP_HOST=everywhere,
        DMP_OPEN_TO_ANYBODY="1",
    ) as running:
        url = running.wait_ready()
        assert url.startswith("http://127.0.0.1:")
        assert send(url).status_code == 202
        assert len(list(temporary.iterdir())) == 1
        assert running.end() == 0
    assert list(temporary.iterdir()) == []


def test_servers_that_exist_already_take_the_place_of_embedded_ones(
    temporary: Path,
    postgres: PostgresFixture,
    ingest_database_url: str,
    identity_database_url: str,
    stats_database_url: str,
    redis_url: str,
) -> None:
    with launcher(
        DMP_DATA_DIR=str(temporary / "data"),
        DMP_INGEST_DATABASE_URL=ingest_database_url,
        DMP_IDENTITY_DATABASE_URL=identity_database_url,
        DMP_STATS_DATABASE_URL=stats_database_url,
        DMP_REDIS_URL=redis_url,
    ) as running:
        url = running.wait_ready()
        children = running.children()
        assert set(children) == SERVICES | {"envoy"}
        for context in ("ingest", "identity", "stats"):
            environment = psutil.Process(children[f"dmp_{context} serve"]).environ()
            known = {name for name in environment if name.endswith("_DATABASE_URL")}
            assert known == {f"DMP_{context.upper()}_DATABASE_URL"}
        assert send(url).status_code == 202
        assert knows(url, "kept@example.com")
        assert running.end() == 0
