"""The command line of a service: `python -m dmp_<context> serve|migrate`, and commands of its own."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dmp_chassis.logging import configure
from dmp_chassis.settings import SettingsError

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that one service has besides.

    help: what it does, for the list of commands.
    run: does it; gets the flags that were given, without dashes.
    flags: the flags that it takes, each with its explanation.
    """

    help: str
    run: Callable[[frozenset[str]], Coroutine[Any, Any, None]]
    flags: Mapping[str, str] = field(default_factory=dict)


def main(
    service: str,
    *,
    serve: Callable[[], Coroutine[Any, Any, None]],
    migrate: Callable[[], None],
    others: Mapping[str, Command] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs the command that the arguments (by default those of the process) name; every command reads its settings.

    `serve` and the service's `others` run on uvloop, `serve` until the process is told to stop. Exits with 2 and the
    list of problems on standard error if settings are wrong, with 1 and the error in the log if the command fails.
    """
    parser = argparse.ArgumentParser(prog=f"python -m dmp_{service}")
    own = dict(others or {})
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(("serve", "migrate", *own)))
    commands.add_parser("serve", help="serve the gRPC API until SIGTERM")
    commands.add_parser("migrate", help="bring the database schema up to date and exit")
    for name, one in own.items():
        added = commands.add_parser(name, help=one.help)
        for flag, meaning in one.flags.items():
            added.add_argument(f"--{flag}", dest=flag, action="store_true", help=meaning)
    given = parser.parse_args(arguments)
    command = given.command
    configure("info", service)
    # Before anything loads gRPC's library: it would print headers that it cannot read, with their values.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        if command == "serve":
            import uvloop

            uvloop.run(serve())
        elif command in own:
            import uvloop

            flags = frozenset(flag for flag in own[command].flags if getattr(given, flag))
            uvloop.run(own[command].run(flags))
        else:
            migrate()
    except SettingsError as error:
        print(f"{service}: the settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception:  # noqa: BLE001 -- logged as JSON, without the secrets a bare traceback may show
        _LOG.exception("the command failed", extra={"command": command})
        raise SystemExit(1) from None
