"""What every command has: settings, output, a client; and the options that stand before or after any command."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dmp_cli import settings
from dmp_cli.failures import CommandError, ExitCode, exit_code, explained
from dmp_cli.output import Output
from dmp_client import DmpError, RetryPolicy

if TYPE_CHECKING:
    from dmp_client import DmpClient

_PANEL: Final = "Before or after any command"

EVERYWHERE: Final[dict[str, Any]] = {
    "url": Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help=f"The gateway. [{settings.DEFAULT_URL}]", rich_help_panel=_PANEL),
    ],
    "api_key": Annotated[
        str | None,
        typer.Option(
            "--api-key", metavar="KEY", help="Better in DMP_API_KEY: others see flags.", rich_help_panel=_PANEL
        ),
    ],
    "config": Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The settings' file.", rich_help_panel=_PANEL)
    ],
    "timeout_seconds": Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="For one question. [30]", rich_help_panel=_PANEL),
    ],
    "json": Annotated[bool, typer.Option("--json", help="Data as JSON, one value a line.", rich_help_panel=_PANEL)],
    "quiet": Annotated[
        bool,
        typer.Option("--quiet", "-q", help="No progress, no status: only data and errors.", rich_help_panel=_PANEL),
    ],
    "no_color": Annotated[
        bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.", rich_help_panel=_PANEL)
    ],
}
"""The options of every command, by the names of their parameters."""


@dataclass(slots=True)
class Session:
    """One command's run. Commands get it as their first argument."""

    found: settings.Found
    out: Output
    config_file: Path | None = None
    _clients: list[DmpClient] = field(default_factory=list)

    @property
    def settings(self) -> settings.Settings:
        """The settings in force."""
        return self.found.settings

    def client(self, *, timeout_seconds: float | None = None, patient: bool = False) -> DmpClient:
        """A client that is closed when the command ends. Nothing of it lies on disk.

        patient: it tries until the timeout; else somebody waits, and a gateway that is away is told after two seconds.
        """
        from dmp_client import MEMORY, DmpClient

        chosen = self.settings
        client = DmpClient(
            chosen.url,
            api_key=chosen.api_key,
            spool=MEMORY,
            source=chosen.source,
            timeout_seconds=timeout_seconds or chosen.timeout_seconds,
            retry=RetryPolicy(most_seconds=10.0, circuit_failures=1 << 30 if patient else 3),
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Lets go of connections."""
        for client in self._clients:
            client.close(0.5)


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Callable[..., int | None]], Callable[..., None]]:  # noqa: ANN401
    """Makes a function a command: its first argument is the session, and it has the options of every command.

    It returns an exit code, None for 0. Errors are told and end in an exit code, never in a traceback.
    """

    def decorate(function: Callable[..., int | None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]

        @functools.wraps(function)
        def run(context: typer.Context, **values: Any) -> None:  # noqa: ANN401 - parsed options
            given = {**(context.obj or {}), **{key: values.pop(key) for key in EVERYWHERE if _is_given(values, key)}}
            for key in EVERYWHERE:
                values.pop(key, None)
            raise typer.Exit(
                run_command(lambda session: function(session, **values), given, makes_file=name == "config")
            )

        shared = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=False if _is_flag(key) else None, annotation=kind
            )
            for key, kind in EVERYWHERE.items()
        ]
        first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([first, *own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (first, *own, *shared)}
        del run.__wrapped__
        app.command(name, **options)(run)
        return run

    return decorate


def given_before(values: dict[str, Any]) -> dict[str, Any]:
    """The options that stood before the command."""
    return {key: values[key] for key in EVERYWHERE if _is_given(values, key)}


def run_command(work: Callable[[Session], int | None], given: dict[str, Any], *, makes_file: bool) -> int:
    """Runs a command and returns its exit code. makes_file: the settings' file need not be there."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = Output(
        json=given.get("json", False),
        quiet=given.get("quiet", False),
        color=not given.get("no_color", False) and not os.environ.get("NO_COLOR"),
    )
    session: Session | None = None
    url = settings.DEFAULT_URL
    try:
        session = Session(settings.find(given, given.get("config"), required=not makes_file), out, given.get("config"))
        url = session.settings.url
        return int(work(session) or ExitCode.DONE)
    except DmpError as error:
        out.error(list(explained(error, url)))
        return exit_code(error)
    except CommandError as error:
        out.error([str(error), error.hint] if error.hint else [str(error)])
        return error.code
    except KeyboardInterrupt:
        out.status("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Who read the data has enough of it. Python would complain about stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    finally:
        if session is not None:
            session.close()


def _is_flag(key: str) -> bool:
    return key in ("json", "quiet", "no_color")


def _is_given(values: dict[str, Any], key: str) -> bool:
    return bool(values.get(key)) if _is_flag(key) else values.get(key) is not None
