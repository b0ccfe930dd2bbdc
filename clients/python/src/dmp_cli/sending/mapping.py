"""Rows as events: which column becomes which field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from dmp_cli.failures import CommandError

_FIELDS: Final = (
    "event_id",
    "type",
    "campaign_id",
    "creative_id",
    "source",
    "user_id",
    "occurred_at",
    "ts",
    "timestamp",
)
_IDENTIFIERS: Final = ("email", "phone", "wallet_address", "browser_id", "ip_address")
_KINDS: Final = ("text", "number", "json")


class ColumnMapping:
    """From columns to fields. Columns named as fields or identifiers need no rule; others go where a rule says."""

    def __init__(self, rules: Sequence[str]) -> None:
        """rules: each `column=field`, `column=field:number` or `column=` to leave it out. Raises CommandError."""
        self._rules: dict[str, tuple[str, str]] = {}
        for rule in rules:
            column, equals, target = rule.partition("=")
            target, _, kind = target.partition(":")
            if not equals or not column or (kind or "text") not in _KINDS:
                raise CommandError(
                    f"--map {rule!r} is no rule", hint="Use column=field, such as price=metadata.price:number."
                )
            if target and not _is_field(target):
                raise CommandError(
                    f"--map {rule!r}: there is no field {target!r}",
                    hint=f"There are {', '.join(_FIELDS)}, identifiers.TYPE and metadata.NAME.",
                )
            self._rules[column] = (target, kind or ("number" if target == "timestamp" else "text"))

    def unmapped(self, columns: Sequence[str]) -> list[str]:
        """Columns that go nowhere and that no rule leaves out. Raises CommandError for rules without a column."""
        for column in self._rules:
            if column not in columns:
                raise CommandError(f"--map names the column {column!r}", hint=f"There are {', '.join(columns)}.")
        return [column for column in columns if column not in self._rules and not _target(column)]

    def event(self, row: Mapping[str, Any]) -> bytes:
        """A row as JSON. Empty cells are absent. Raises ValueError, which names the column."""
        event: dict[str, Any] = {}
        for column, value in row.items():
            target, kind = self._rules.get(column) or (_target(column), "number" if column == "timestamp" else "text")
            if not target or value is None or value == "":
                continue
            *path, name = target.split(".", 1)
            place = event.setdefault(path[0], {}) if path else event
            place[name] = _value(column, value, kind)
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _is_field(target: str) -> bool:
    parent, dot, name = target.partition(".")
    return target in _FIELDS or (bool(dot) and parent in ("identifiers", "metadata") and bool(name))


def _target(column: str) -> str:
    """Where a column goes by its name; empty if nowhere."""
    if column in _IDENTIFIERS:
        return f"identifiers.{column}"
    return column if _is_field(column) else ""


def _value(column: str, value: object, kind: str) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)  # Parquet's times without zone are UTC
        return value.timestamp() if kind == "number" else value.isoformat()
    if isinstance(value, (date, Decimal)):
        value = str(value)
    if kind == "text":
        return value if isinstance(value, (bool, int, dict, list)) else str(value)
    try:
        number = json.loads(str(value)) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"column {column!r} has {value!r}, which is no {kind}") from None
    if kind == "number" and (
        isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number)
    ):
        raise ValueError(f"column {column!r} has {value!r}, which is no number")
    return number
