"""The command line of a service: `python -m dmp_<context> serve|migrate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop

from dmp_chassis.logging import configure
from dmp_chassis.settings import SettingsError


def main(
    service: str,
    *,
    serve: Callable[[], Coroutine[Any, Any, None]],
    migrate: Callable[[], None],
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs the command that the arguments (default: the process's own) name.

    `serve` runs in uvloop until the process is told to stop. Exits with 2 and the list of problems if settings are wrong, with 1
    and the error in the log if a command fails.
    """
    parser = argparse.ArgumentParser(prog=f"python -m dmp_{service}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve | migrate")
    commands.add_parser("serve", help="serve the gRPC API until SIGTERM")
    commands.add_parser("migrate", help="bring the database schema up to date and exit")
    command = parser.parse_args(arguments).command
    configure("info", service)
    try:
        if command == "serve":
            uvloop.run(serve())
        else:
            migrate()
    except SettingsError as error:
        print(f"{service}: the settings are not usable:", *error.problems, sep="\n  ", file=sys.stderr)
        raise SystemExit(2) from None
