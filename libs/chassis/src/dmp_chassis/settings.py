"""Reads a service's settings from the environment and reports every problem at once.

    env = EnvReader(os.environ)
    settings = Settings(database_url=env.url("DMP_STATS_DATABASE_URL"), pool_size=env.integer("DMP_POOL", 8, minimum=1))
    env.finish()

Each reader returns a placeholder when its variable is missing or wrong; `finish` raises before anybody uses it. Values
never appear in messages: they may be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, TypeVar, final
from urllib.parse import urlsplit

_Value = TypeVar("_Value")
_Number = TypeVar("_Number", int, float)

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_LONGEST_TEXT: Final = 8192
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@final
class Required:
    """The type of `REQUIRED`."""


REQUIRED: Final = Required()
"""Stands for "there is no default"."""


class SettingsError(Exception):
    """Settings are missing or wrong. `problems` has one sentence for each, naming the variable, never its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EnvReader:
    """Typed access to an environment mapping. A variable that is set but empty counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def text(self, name: str, default: str | Required = REQUIRED, *, choices: Collection[str] | None = None) -> str:
        """Text without surrounding white space; with `choices` one of them, in their spelling."""
        value = self._raw(name)
        if value is None:
            return self._default(name, default, "")
        if choices is not None and value not in choices:
            return self._problem(name, f"must be one of {', '.join(sorted(choices))}", "")
        return value

    def integer(
        self, name: str, default: int | Required = REQUIRED, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """A whole number within the bounds, both included."""
        value = self._raw(name)
        if value is None:
            return self._default(name, default, 0)
        if re.fullmatch(r"[+-]?[0-9]{1,18}", value) is None:
            return self._problem(name, "must be a whole number", 0)
        return self._bounded(name, int(value), minimum, maximum)

    def number(
        self,
        name: str,
        default: float | Required = REQUIRED,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> float:
        """A number, fraction allowed, within the bounds, both included."""
        value = self._raw(name)
        if value is None:
            return self._default(name, default, 0.0)
        if re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", value) is None:
            return self._problem(name, "must be a number", 0.0)
        return self._bounded(name, float(value), minimum, maximum)

    def seconds(
        self, name: str, default: float | Required = REQUIRED, minimum: float = 0.0, maximum: float | None = None
    ) -> float:
        """A duration as a number of seconds, not negative."""
        return self.number(name, default, minimum, maximum)

    def boolean(self, name: str, default: bool | Required = REQUIRED) -> bool:
        """1, true, yes, on or 0, false, no, off; upper or lower case."""
        value = self._raw(name)
        if value is None:
            return self._default(name, default, False)
        if value.lower() in _TRUE:
            return True
        return False if value.lower() in _FALSE else self._problem(name, "must be true or false", False)

    def url(
        self,
        name: str,
        default: str | Required = REQUIRED,
        *,
        schemes: Collection[str] = ("postgresql", "redis", "rediss", "unix"),
    ) -> str:
        """A URL with one of the schemes, as given. `postgresql:///db?host=/run/pg` is one too.

        Where the scheme has a plus, there may be several hosts, with commas between them. A URL may have a password in
        it: with `_FILE` behind its name, the variable says which file the URL stands in.
        """
        value = self._raw(name)
        file = self._raw(f"{name}_FILE")
        if file is not None:
            if value is not None:
                return self._problem(f"{name} and {name}_FILE", "cannot both be set", "")
            value = self._content(f"{name}_FILE", file)
            if value is None:
                return ""
        if value is None:
            return self._default(name, default, "")
        try:
            parts = urlsplit(value)
            hosts = parts.netloc.rpartition("@")[2]
            ports = [urlsplit(f"//{host}").port for host in (hosts.split(",") if "+" in parts.scheme else [hosts])]
            valid = parts.scheme in schemes and "://" in value and 0 not in ports
        except ValueError:
            valid = False
        if not valid:
            return self._problem(name, f"must be a URL that starts with {' or '.join(f'{s}://' for s in schemes)}", "")
        return value

    def address(self, name: str, default: str | Required = REQUIRED) -> str:
        """`host:port` (IPv6 hosts in brackets), or `unix:/path` for a socket, as given."""
        value = self._raw(name)
        if value is None:
            return self._default(name, default, "")
        return value if _is_address(value) else self._problem(name, "must be host:port or unix:/path", "")

    def addresses(self, name: str) -> tuple[str, ...]:
        """One or several addresses, each as `address` has it, with a comma in between. It must be set."""
        value = self._raw(name)
        if value is None:
            self._default(name, REQUIRED, "")
            return ()
        found = tuple(text.strip() for text in value.split(","))
        if not all(map(_is_address, found)):
            return self._problem(name, "must be host:port or unix:/path, or several with a comma in between", ())
        return found

    def finish(self) -> None:
        """Raises SettingsError if anything that was read is missing or wrong."""
        if self._problems:
            raise SettingsError(self._problems)

    def problem(self, name: str, what: str) -> None:
        """Adds a problem that the service found itself, such as two settings that contradict each other."""
        self._problems.append(f"{name} {what}")

    def _raw(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def _content(self, name: str, path: str) -> str | None:
        """The text in a file, without white space around it; None when that is noted as a problem."""
        try:
            with Path(path).open("rb") as file:
                text = file.read(_LONGEST_TEXT + 1).decode().strip()
        except (OSError, ValueError):
            return self._problem(name, "names a file that cannot be read", None)
        if not text or len(text) > _LONGEST_TEXT:
            return self._problem(name, "names a file that is empty or too long", None)
        return text

    def _default(self, name: str, default: _Value | Required, placeholder: _Value) -> _Value:
        return self._problem(name, "is required", placeholder) if isinstance(default, Required) else default

    def _bounded(self, name: str, value: _Number, minimum: _Number | None, maximum: _Number | None) -> _Number:
        if minimum is not None and value < minimum:
            return self._problem(name, f"must be at least {minimum}", value)
        if maximum is not None and value > maximum:
            return self._problem(name, f"must be at most {maximum}", value)
        return value

    def _problem(self, name: str, what: str, placeholder: _Value) -> _Value:
        self.problem(name, what)
        return placeholder


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    is_host = _HOST.fullmatch(host) is not None and re.fullmatch(r"[0-9]{1,5}", port) is not None and int(port) <= 65535
    return is_host or text.startswith("unix:/")
