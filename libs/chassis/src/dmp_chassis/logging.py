"""JSON lines on standard error through the standard library's logging.

A line has `ts` (UTC, milliseconds), `level`, `service`, `logger`, `message`, then what the call gave as `extra`, then
`exception`. Passwords, and the parts of PostgreSQL's error texts that quote stored data, are taken out of all of them.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*(?=@)")
_ASSIGNED_SECRET: Final = re.compile(
    r"(?i)\b(password|passwd|secret|token|api_?key)([\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+)"
)
_QUOTED_DATA: Final = re.compile(r"(?m)^(DETAIL|CONTEXT|STATEMENT|\[parameters):? .*$")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_GRPC_LIBRARY: Final = "grpc._cython.cygrpc"


def redact(text: str) -> str:
    """The text without passwords in URLs and assignments, and without the data that PostgreSQL quotes in its errors."""
    text = _PASSWORD_IN_URL.sub(r"\1:***", text)
    text = _ASSIGNED_SECRET.sub(r"\1\2***", text)
    return _QUOTED_DATA.sub(r"\1 ***", text)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its line break."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in line}
        line.update(extra)
        if record.exc_info is not None:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(_printable(line)).decode()


def _printable(value: object) -> object:
    """The value with every text redacted, lone surrogates escaped, and anything that JSON does not know as its text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_printable(item) for item in value]
    return redact(str(value).encode("utf-8", "backslashreplace").decode())


def _quotes_no_metadata(record: logging.LogRecord) -> bool:
    """False for what gRPC's library says of metadata that it cannot decode: the line has the value, maybe a secret."""
    return not str(record.msg).startswith("Invalid encoding on")


def configure(level: str, service: str) -> None:
    """Sends everything from `level` ("debug", "info", "warning", "error") on to standard error as JSON lines.

    Replaces the handlers of the root logger, so calling it again only changes level and service.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger(_GRPC_LIBRARY).addFilter(_quotes_no_metadata)
    logging.captureWarnings(True)
