"""Under the servers that run Python sites: they fork, patch threads, or have none. Every event is counted once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from dmp_client import DmpClient
from dmp_stack.programs import repository_root
from tests.clients.interposed import Interposed
from tests.conditions import wait_until

AssertCounted = Callable[[str, int], None]
HERE = Path(__file__).parent / "serving"
REQUESTS = 60

GUNICORN = (sys.executable, "-m", "gunicorn", "--workers=2", "--no-control-socket", "--bind=unix:{socket}")
UWSGI = (
    sys.executable,
    "-c",
    "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])",
    "--master",
    "--processes=2",
    "--die-on-term",
    "--http-socket={socket}",
)
SERVERS: dict[str, tuple[Sequence[str], int]] = {
    "gunicorn, loaded before the fork": ((*GUNICORN, "--preload", "shop:application"), 1),
    "gunicorn with gevent, loaded before the fork": (
        (*GUNICORN, "--worker-class=gevent", "--preload", "shop:application"),
        1,
    ),
    "gunicorn with gevent": ((*GUNICORN, "--worker-class=gevent", "shop:application"), 2),
    "uWSGI without threads": ((*UWSGI, "--module=shop:application"), 1),
    "uWSGI with threads": ((*UWSGI, "--enable-threads", "--module=shop:application"), 1),
}
"""The command, and how often it loads the site."""


@contextmanager
def running(command: Sequence[str], directory: Path, **variables: str) -> Iterator[Path]:
    """A server that listens on the socket of this name. It is ended as an operator ends it."""
    socket = directory / "socket"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{repository_root() / 'clients' / 'python' / 'src'}:{HERE}",
        "SHOP_SPOOL": str(directory / "shop.spool"),
        **variables,
    }
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [part.format(socket=socket) for part in command],
            env=environment,
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    group = psutil.Process(process.pid)
    try:
        wait_until(lambda: socket.is_socket() or process.poll() is not None, "the server listens")
        yield socket
    finally:
        workers = group.children()
        process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs([*workers, group], 30)
        for one in left:
            one.kill()
        process.wait()
        assert not left, (directory / "log").read_text()


@pytest.mark.parametrize("server", SERVERS)
def test_every_request_is_counted_once(
    server: str, gateway_url: str, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    command, loads = SERVERS[server]
    variables = {"SHOP_URL": gateway_url, "SHOP_CAMPAIGN": campaign, "SHOP_EARLY": "1"}
    with running(command, tmp_path, **variables) as socket:
        transport = httpx2.HTTPTransport(uds=str(socket))
        with httpx2.Client(base_url="http://shop", transport=transport, timeout=30.0) as client:
            workers = {client.get("/", headers={"connection": "close"}).text for _ in range(REQUESTS)}
    log = (tmp_path / "log").read_text()
    with DmpClient(gateway_url, spool=tmp_path / "shop.spool") as client_of_the_rest:
        client_of_the_rest.resume()
        assert client_of_the_rest.flush(30)
    assert_counted(campaign, REQUESTS + loads)
    assert workers
    assert "Traceback" not in log, log
    assert log.count("uWSGI runs without threads") == (1 if server == "uWSGI without threads" else 0), log


def test_a_fork_under_gevent_disturbs_no_request_under_way(
    between: Interposed, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    under_way = tmp_path / "under way"
    between.open.clear()
    arguments = [between.url, str(tmp_path / "fork.spool"), campaign, str(under_way)]
    with subprocess.Popen(
        [sys.executable, str(HERE / "fork_in_flight.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(repository_root() / "clients" / "python" / "src")},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: len(between.seen) == 1, "a request is under way")
        under_way.touch()
        wait_until(lambda: len(between.seen) == 2, "the child sends, too")
        between.open.set()
        said = process.communicate(timeout=60)[0].splitlines()
    assert said == ["child True 20 0 0", "parent True 120 0 0"]
    assert_counted(campaign, 140)
