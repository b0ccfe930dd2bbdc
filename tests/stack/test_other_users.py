"""What other users of the machine can do with a stack: use its gateway, read its metrics, and nothing else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dmp_stack.run_directory import create_run_directory
from dmp_stack.services import service_addresses
from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack

pytestmark = pytest.mark.timeout(300)

LONGEST_SOCKET_PATH = 107  # bytes

TRY = """
import json, os, pwd, socket, sys
nobody = pwd.getpwnam("nobody")
os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
def reaches(path):
    try:
        if path.endswith(".sock"):
            socket.socket(socket.AF_UNIX).connect(path)
        else:
            open(path).close()
    except PermissionError:
        return False
    return True
print(json.dumps([path for path in sys.argv[1:] if reaches(path)]))
"""


def private_paths(stack: Stack) -> list[Path]:
    """The services' sockets and the logs of all children."""
    sockets = [Path(stack.service_address(context).removeprefix("unix:")) for context in CONTEXTS]
    logs = list(stack.log_directory.glob("*.log"))
    assert len(logs) > len(CONTEXTS)
    assert all(path.exists() for path in sockets)
    return [*sockets, *logs]


def open_to_others(path: Path) -> bool:
    """Whether the modes let other users pass through all directories above it and use it."""
    modes = [above.stat().st_mode for above in path.parents]
    return all(mode & stat.S_IXOTH for mode in modes) and bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))


def reached_by_nobody(paths: list[Path]) -> list[str]:
    """Those of the paths that the user `nobody` could open or connect to. Only root can become that user."""
    done = subprocess.run([sys.executable, "-c", TRY, *map(str, paths)], capture_output=True, text=True, check=True)
    reached: list[str] = json.loads(done.stdout)
    return reached


def test_another_user_can_call_no_service_and_read_no_log(stack: Stack) -> None:
    paths = private_paths(stack)
    assert [path for path in paths if open_to_others(path)] == []
    if os.geteuid() == 0:
        assert reached_by_nobody(paths) == []
        assert reached_by_nobody([Path("/etc/passwd")]) == ["/etc/passwd"]  # the attempt itself works


def test_only_the_gateway_and_the_metrics_listen_on_a_port(stack: Stack) -> None:
    listening = {
        (name, f"http://{connection.laddr.ip}:{connection.laddr.port}/metrics")
        for name, pid in stack.pids.items()
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN and name != "gateway"
    }
    assert listening == {(context, stack.metrics_url(context)) for context in CONTEXTS}


def test_sockets_have_short_paths_also_below_the_longest_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path("/tmp") / f"t-{os.getpid()}".ljust(55, "x")  # noqa: S108
    base.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(base))
    directory = create_run_directory()
    try:
        assert directory.path.parent == base
        assert len(os.fsencode(base)) == 60
        addresses = service_addresses(directory.service_sockets(), {"identity": 100})
        longest = max(len(os.fsencode(address.removeprefix("unix:"))) for address in addresses["identity"])
        assert longest <= LONGEST_SOCKET_PATH
    finally:
        directory.remove()
        base.rmdir()
