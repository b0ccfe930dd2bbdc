"""Where DMP is and how it is asked: from flags, from the environment, from a file, in this order."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import msgspec

from dmp_cli.failures import CommandError

DEFAULT_URL: Final = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for every command.

    url: of the gateway. api_key: None where none is asked for. source: of events that name none.
    timeout_seconds: how long a question may take, with its repetitions.
    """

    url: str = DEFAULT_URL
    api_key: str | None = None
    source: str | None = None
    timeout_seconds: float = 30.0


NAMES: Final = tuple(field.name for field in fields(Settings))
VARIABLES: Final = {
    "url": "DMP_URL",
    "api_key": "DMP_API_KEY",
    "source": "DMP_SOURCE",
    "timeout_seconds": "DMP_TIMEOUT_SECONDS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Settings, and where each comes from in words."""

    settings: Settings
    origins: Mapping[str, str]


def default_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The configuration file: `DMP_CONFIG`, else `dmp/config.toml` in the user's configuration directory."""
    named = environment.get("DMP_CONFIG")
    if named:
        return Path(named)
    directory = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(directory) / "dmp" / "config.toml"


def find(
    flags: Mapping[str, Any],
    file: Path | None,
    environment: Mapping[str, str] = os.environ,
    *,
    required: bool = True,
) -> Found:
    """The settings in force. file: that of `--config`. required: a file that was named must be there.
    Raises CommandError."""
    path = file or default_file(environment)
    written = read_file(path, required=required and (file is not None or bool(environment.get("DMP_CONFIG"))))
    chosen: dict[str, Any] = {}
    origins = dict.fromkeys(NAMES, "default")
    for name in NAMES:
        candidates = (
            (flags.get(name), "flag"),
            (environment.get(VARIABLES[name]) or None, VARIABLES[name]),
            (written.get(name), str(path)),
        )
        for value, origin in candidates:
            if value is not None:
                chosen[name], origins[name] = checked(name, value, origin), origin
                break
    return Found(settings=Settings(**chosen), origins=origins)


def checked(name: str, value: object, origin: str) -> str | float:
    """A setting's value. Raises CommandError if it is none."""
    if name == "timeout_seconds":
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 86_400:
            raise CommandError(f"timeout_seconds is {value!r} ({origin})", hint="Use a number of seconds, such as 30.")
        return seconds
    if not isinstance(value, str) or not value.strip():
        raise CommandError(f"{name} is {value!r} ({origin})", hint="Use a text in quotes.")
    if name == "url" and not value.startswith(("http://", "https://")):
        raise CommandError(f"url is {value!r} ({origin})", hint=f"Use an address such as {DEFAULT_URL}.")
    return value.rstrip("/") if name == "url" else value


def read_file(path: Path, *, required: bool) -> dict[str, Any]:
    """What a configuration file says; empty if it need not be there. Raises CommandError."""
    try:
        written = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if not required:
            return {}
        raise CommandError(f"there is no configuration file {path}", hint="`dmp config url URL` makes one.") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"the configuration file {path} cannot be read: {error}") from None
    unknown = sorted(set(written) - set(NAMES))
    if unknown:
        raise CommandError(f"{path} has the unknown setting {unknown[0]!r}", hint=f"There are {', '.join(NAMES)}.")
    return written


def write_file(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a configuration file, readable by its user only: it may hold a key."""
    written = read_file(path, required=False)
    change(written)
    text = "".join(f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in sorted(written.items()))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
