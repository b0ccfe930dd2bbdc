"""A command imports what it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dmp_client
from tests.clients.terminal import environment

SLOW = ("asyncio", "email", "httpx2", "importlib.metadata", "pydantic", "redis", "rich.console", "sqlite3", "textual")
PROGRAM = f"""
import sys
from dmp_cli.app import build
build()
print([name for name in {SLOW} if name in sys.modules])
sys.argv = ["dmp", "health"]
try:
    build()()
except SystemExit:
    print([name for name in {SLOW} if name in sys.modules])
"""


def test_what_is_slow_to_import_is_imported_where_it_is_used(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(tmp_path, "http://127.0.0.1:1"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    before, after = done.stdout.splitlines()
    assert before == "[]"
    assert {"asyncio", "pydantic", "redis", "rich.console", "textual"}.isdisjoint(after.split("'")), after
    assert "httpx2" in after


def test_every_name_of_the_client_is_there() -> None:
    assert all(getattr(dmp_client, name) is not None for name in dmp_client.__all__)
    assert not hasattr(dmp_client, "nothing")
