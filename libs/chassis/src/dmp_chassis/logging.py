"""JSON lines on standard error through the standard library's logging.

One line: `ts` (UTC, milliseconds), `level`, `service`, `logger`, `message`, then what the call gave as `extra`, then `exception`. Passwords in
URLs, and the parts of PostgreSQL's error texts that quote stored data, are taken out of everything.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

_PASSWORD: Final = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*(?=@)")
_ASSIGNMENT: Final = re.compile(r"(?i)\b(password|passwd|secret|token|api_key)(\s*[=:]\s*)('[^']*'|\S+)")
_QUOTED_DATA: Final = re.compile(r"(?m)^(DETAIL|CONTEXT|STATEMENT|\[parameters):? .*$")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def redact(text: str) -> str:
    """The text without passwords in URLs and assignments, and without the data that PostgreSQL quotes in its errors."""
    text = _PASSWORD.sub(r"\1:***", text)
    text = _ASSIGNMENT.sub(r"\1\2***", text)
    return _QUOTED_DATA.sub(r"\1 ***", text)


class JsonFormatter(logging.Formatter):
    """Formats one record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its line break."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in line:
                line[name] = redact(value) if isinstance(value, str) else value
        if record.exc_info is not None:
            line["exception"] = redact(self.formatException(record.exc_info))
        # Lone surrogates, which are legal in Python's text and not in JSON's, must not cost the line.
        return _ENCODER.encode(_encodable(line)).decode()


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {str(_encodable(str(key))): _encodable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_encodable(item) for item in value]
    return value if isinstance(value, (int, float, bool, type(None))) else _encodable(str(value))


def configure(level: str, service: str) -> None:
    """Sends everything from `level` ("debug", "info", "warning", "error") on to standard error as JSON lines.

    Replaces the handlers of the root logger; calling it again only changes level and service.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
