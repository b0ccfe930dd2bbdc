"""Log lines: JSON, complete, and without secrets."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from dmp_chassis.call_ids import begin_call
from dmp_chassis.logging import JsonFormatter, configure, redact, set_debug


@pytest.fixture
def restored_root() -> Iterator[None]:
    root = logging.getLogger()
    ours = [logging.getLogger(name) for name in ("dmp_chassis", "dmp_ingest", "dmp_stats")]
    handlers, levels = root.handlers[:], {each: each.level for each in (root, *ours)}
    yield
    set_debug(False)
    root.handlers[:] = handlers
    for each, level in levels.items():
        each.setLevel(level)
    logging.captureWarnings(False)


def line(message: str, *arguments: object, **extra: object) -> dict[str, object]:
    """The line that logging this makes; with the exception that is being handled, if any."""
    exception = sys.exc_info() if sys.exc_info()[0] is not None else None
    logger = logging.getLogger("a.b")
    record = logger.makeRecord("a.b", logging.WARNING, "f.py", 1, message, arguments, exception, "f", extra)
    formatted = JsonFormatter("ingest").format(record)
    assert "\n" not in formatted
    parsed: dict[str, object] = json.loads(formatted)
    return parsed


def test_a_line_has_time_level_service_logger_message_and_extra() -> None:
    parsed = line("hello %s", "world", port=5, names={"b"}, nested={"a": [1, None]})
    assert str(parsed.pop("ts")).endswith("Z")
    assert parsed == {
        "level": "warning",
        "service": "ingest",
        "logger": "a.b",
        "message": "hello world",
        "port": 5,
        "names": ["b"],
        "nested": {"a": [1, None]},
    }


def test_an_exception_is_one_field_with_its_traceback() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        parsed = line("failed")
    assert "Traceback" in str(parsed["exception"])
    assert "ValueError: broken" in str(parsed["exception"])


def test_lone_surrogates_and_unknown_types_do_not_cost_the_line() -> None:
    parsed = line("bad \udc80", value=object)
    assert parsed["message"] == "bad \\udc80"
    assert parsed["value"] == "<class 'object'>"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://role:hunter2@host/db",
        "redis://:hunter2@host:1",
        "password=hunter2 host=h",
        "PASSWORD: 'hunter2'",
        '{"password": "hunter2"}',
        "api_key=hunter2",
        "duplicate key\nDETAIL:  Key (email)=(hunter2) already exists.",
        "bad copy\nCONTEXT:  COPY t, line 1, column a: hunter2",
    ],
)
def test_secrets_and_stored_data_are_redacted_everywhere(text: str) -> None:
    assert "hunter2" not in redact(text)
    try:
        raise ValueError(text)
    except ValueError:
        parsed = line("failed: %s", text, note=text, deep=[{"x": text}])
    assert "hunter2" not in json.dumps(parsed)


def test_host_and_role_survive_redaction() -> None:
    assert redact("postgresql://role:hunter2@host/db is away") == "postgresql://role:***@host/db is away"


@pytest.mark.usefixtures("restored_root")
def test_configure_writes_lines_from_its_level_on_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "ingest")
    configure("info", "stats")
    logging.getLogger("x").debug("quiet")
    logging.getLogger("x").info("loud", extra={"n": 1})
    lines = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert [(each["service"], each["message"], each["n"]) for each in lines] == [("stats", "loud", 1)]


@pytest.mark.usefixtures("restored_root")
def test_metadata_that_grpc_cannot_decode_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "ingest")
    library = logging.getLogger("grpc._cython.cygrpc")
    library.error("Invalid encoding on %s", b"\xffhunter2")
    library.error("something else")
    assert [json.loads(each)["message"] for each in capsys.readouterr().err.splitlines()] == ["something else"]


class Call:
    """A call with this metadata."""

    def __init__(self, **metadata: str) -> None:
        self._metadata = tuple((name.replace("_", "-"), value) for name, value in metadata.items())

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("call", "ids"),
    [
        (
            Call(x_request_id="req-1", traceparent=f"00-{TRACE}-b7ad6b7169203331-00"),
            {"request_id": "req-1", "trace_id": TRACE},
        ),
        (Call(x_request_id="req-1"), {"request_id": "req-1"}),
        (Call(x_request_id="a@b.com", traceparent=f"00-{TRACE}"), {}),
        (Call(x_request_id="x" * 129, traceparent=TRACE), {}),
    ],
)
@pytest.mark.usefixtures("restored_root")
def test_a_line_has_the_ids_of_the_request_that_it_was_written_for(
    call: Call, ids: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "ingest")

    def handle() -> None:
        begin_call(call)
        logging.getLogger("x").info("in a call")

    contextvars.copy_context().run(handle)
    logging.getLogger("x").info("in none")
    inside, outside = (json.loads(each) for each in capsys.readouterr().err.splitlines())
    assert {name: inside.get(name) for name in ("request_id", "trace_id")} == {
        "request_id": None,
        "trace_id": None,
        **ids,
    }
    assert not {"request_id", "trace_id"} & outside.keys()


@pytest.mark.usefixtures("restored_root")
def test_the_debug_level_is_for_our_own_lines_and_is_said_at_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure("error", "ingest")

    def said() -> list[str]:
        for name in ("dmp_ingest.a", "dmp_chassis.a", "library"):
            logging.getLogger(name).debug(name)
        return [json.loads(each)["message"] for each in capsys.readouterr().err.splitlines()]

    assert said() == []
    set_debug(True)
    set_debug(True)
    assert said() == ["the log level changes", "dmp_ingest.a", "dmp_chassis.a"]
    set_debug(False)
    assert said() == ["the log level changes"]


@pytest.mark.usefixtures("restored_root")
def test_repeated_lines_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "ingest")
    for _ in range(8):
        logging.getLogger("x").warning("again")
    configure("info", "ingest")  # ends what was there before
    lines = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert [each.get("repeated") for each in lines] == [None] * 5 + [3]
