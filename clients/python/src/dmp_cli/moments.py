"""Times as people type them: RFC 3339, `now`, or how long ago (`90s`, `30m`, `6h`, `7d`)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from dmp_cli.failures import CommandError

_AGO: Final = re.compile(r"-?(\d{1,9})\s*([smhdw])").fullmatch
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
HELP: Final = "RFC 3339, `now`, or how long ago: 30m, 6h, 7d."


def moment(text: str, name: str, *, now: datetime | None = None) -> str:
    """The time as the server reads it. Raises CommandError."""
    now = now or datetime.now(UTC)
    if text == "now":
        return _text(now)
    ago = _AGO(text)
    if ago is not None:
        try:
            return _text(now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
        except OverflowError:
            raise CommandError(f"{name} is too long ago: {text}", hint=f"Use {HELP}") from None
    if re.match(r"\d{4}-\d\d-\d\d[Tt ]", text):
        return text  # the server reads the rest, and says what is wrong with it
    raise CommandError(f"{name} is no time: {text}", hint=f"Use {HELP}")


def clock(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, whole seconds; empty for 0."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def written(instant: datetime | None) -> str:
    """A time as RFC 3339 in UTC; empty for none."""
    return "" if instant is None else instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
