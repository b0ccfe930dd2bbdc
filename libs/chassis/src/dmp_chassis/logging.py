"""JSON lines on standard error through the standard library's logging.

A line has `ts` (UTC, milliseconds), `level`, `service`, `logger`, `message`, `request_id` and `trace_id` if it was
written for a request, then what the call gave as `extra`, then `exception`. Passwords, and the parts of PostgreSQL's
error texts that quote stored data, are taken out of all of them. Lines that repeat themselves are counted
(`dmp_chassis.log_repeats`).
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from dmp_chassis.call_ids import call_ids
from dmp_chassis.log_repeats import RepeatingHandler
from dmp_chassis.tracing import trace_id

_LOG: Final = logging.getLogger(__name__)
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*(?=@)")
_ASSIGNED_SECRET: Final = re.compile(
    r"(?i)\b(password|passwd|secret|token|api_?key)([\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+)"
)
_QUOTED_DATA: Final = re.compile(r"(?m)^(DETAIL|CONTEXT|STATEMENT|\[parameters):? .*$")
_IDS: Final = "_call_ids"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _IDS}

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
            **record.__dict__.get(_IDS, {}),
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


def _note_ids(record: logging.LogRecord) -> bool:
    """Keeps the ids of the request with the record: a line may be written later, by another thread."""
    ids = call_ids()
    if not ids and (of_span := trace_id()):
        ids = {"trace_id": of_span}
    record.__dict__[_IDS] = ids
    return True


class _Levels:
    """The level of this process: that of its settings, or debug for a while."""

    def __init__(self) -> None:
        self.usual = logging.INFO
        self.service = ""
        self.is_debug = False

    def apply(self) -> None:
        """Ours may be at debug level. Libraries say at that level what was sent, so they stay at info."""
        level = logging.DEBUG if self.is_debug else self.usual
        logging.getLogger().setLevel(max(level, logging.INFO))
        for package in ("dmp_chassis", f"dmp_{self.service}"):
            logging.getLogger(package).setLevel(level)


_LEVELS: Final = _Levels()


def configure(level: str, service: str) -> None:
    """Sends everything from `level` ("debug", "info", "warning", "error") on to standard error as JSON lines.

    Replaces the handlers of the root logger, so calling it again only changes level and service. Libraries are never
    heard below info.
    """
    handler = RepeatingHandler()
    handler.setFormatter(JsonFormatter(service))
    handler.addFilter(_note_ids)
    root = logging.getLogger()
    for before in root.handlers:
        if isinstance(before, RepeatingHandler):
            before.close()
    root.handlers[:] = [handler]
    _LEVELS.usual, _LEVELS.service, _LEVELS.is_debug = logging.getLevelNamesMapping()[level.upper()], service, False
    _LEVELS.apply()
    logging.getLogger(_GRPC_LIBRARY).addFilter(_quotes_no_metadata)
    logging.captureWarnings(True)


def set_debug(is_debug: bool) -> None:
    """Debug level from now on, or the one of the settings again. Says so in a line, whatever that level is."""
    if is_debug == _LEVELS.is_debug:
        return
    if is_debug:
        _LEVELS.is_debug = True
        _LEVELS.apply()
    usual = logging.getLevelName(_LEVELS.usual).lower()
    _LOG.info("the log level changes", extra={"from_now_on": "debug" if is_debug else usual})
    if not is_debug:
        _LEVELS.is_debug = False
        _LEVELS.apply()


def is_debug() -> bool:
    """Whether `set_debug` has set it."""
    return _LEVELS.is_debug
