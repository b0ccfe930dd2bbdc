"""The command line of a service: `python -m dmp_<context> serve|migrate`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from dmp_chassis.logging import configure
from dmp_chassis.settings import SettingsError

_LOG: Final = logging.getLogger(__name__)


def main(
    service: str,
    *,
    serve: Callable[[], Coroutine[Any, Any, None]],
    migrate: Callable[[], None],
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs the command that the arguments (by default those of the process) name; both commands read their settings.

    `serve` runs on uvloop until the process is told to stop. Exits with 2 and the list of problems on standard error
    if settings are wrong, with 1 and the error in the log if the command fails.
    """
    parser = argparse.ArgumentParser(prog=f"python -m dmp_{service}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve|migrate")
    commands.add_parser("serve", help="serve the gRPC API until SIGTERM")
    commands.add_parser("migrate", help="bring the database schema up to date and exit")
    command = parser.parse_args(arguments).command
    configure("info", service)
    try:
        if command == "serve":
            import uvloop

            uvloop.run(serve())
        else:
            migrate()
    except SettingsError as error:
        print(f"{service}: the settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception:  # noqa: BLE001 -- logged as JSON, without the secrets a bare traceback may show
        _LOG.exception("the command failed", extra={"command": command})
        raise SystemExit(1) from None
