"""The command line of a service: `python -m dmp_<context> serve|migrate`, and commands of its own."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from dmp_chassis.logging import configure
from dmp_chassis.migrations import migrate
from dmp_chassis.service_settings import database_url_from_env
from dmp_chassis.settings import SettingsError

if TYPE_CHECKING:  # loads the server, which migrating does not need
    from dmp_chassis.service import AnyService

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that one service has besides.

    help: what it does, for the list of commands.
    run: does it; gets the options that were given with their values, and the flags with an empty text, without dashes.
    flags: the flags that it takes, each with its explanation.
    options: the options that it takes, each of which has a value, each with its explanation.
    """

    help: str
    run: Callable[[Mapping[str, str]], Coroutine[Any, Any, None]]
    flags: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


def main(
    name: str,
    *,
    service: Callable[[], AnyService],
    commands: Mapping[str, Command] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs the command that the arguments (by default those of the process) name; every command reads its settings.

    `serve` and the service's own `commands` run on uvloop, `serve` until the process is told to stop. `service` is
    called for `serve` only: loading all that it consists of costs more than migrating. Exits with 2 and the list of
    problems on standard error if settings are wrong, with 1 and the error in the log if the command fails.
    """
    parser = argparse.ArgumentParser(prog=f"python -m dmp_{name}")
    own = dict(commands or {})
    known = parser.add_subparsers(dest="command", required=True, metavar="|".join(("serve", "migrate", *own)))
    known.add_parser("serve", help="serve the gRPC API until SIGTERM")
    known.add_parser("migrate", help="bring the database schema up to date and exit")
    for command_name, one in own.items():
        added = known.add_parser(command_name, help=one.help)
        for flag, meaning in one.flags.items():
            added.add_argument(f"--{flag}", dest=flag, action="store_const", const="", help=meaning)
        for option, meaning in one.options.items():
            added.add_argument(f"--{option}", dest=option, metavar=option.rpartition("-")[2].upper(), help=meaning)
    given = parser.parse_args(arguments)
    command = given.command
    configure("info", name)
    # Before anything loads gRPC's library: it would print headers that it cannot read, with their values.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        if command == "serve":
            import uvloop

            uvloop.run(service().serve())
        elif command in own:
            import uvloop

            names = (*own[command].flags, *own[command].options)
            uvloop.run(own[command].run({name: value for name in names if (value := getattr(given, name)) is not None}))
        else:
            _migrate(name)
    except SettingsError as error:
        print(f"{name}: the settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception:  # noqa: BLE001 -- logged as JSON, without the secrets a bare traceback may show
        _LOG.exception("the command failed", extra={"command": command})
        raise SystemExit(1) from None


def _migrate(name: str) -> None:
    """Applies the revisions in the service's package to its database. Raises SettingsError."""
    url = database_url_from_env(os.environ, name)
    with resources.as_file(resources.files(f"dmp_{name}") / "migrations") as directory:
        migrate(url, directory)
