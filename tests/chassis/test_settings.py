"""Settings from the environment: kinds, bounds, and all problems at once without any value."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmp_chassis.settings import EnvReader, SettingsError


def problems(environ: dict[str, str], read: str, *arguments: object, **options: object) -> list[str]:
    env = EnvReader(environ)
    getattr(env, read)("X", *arguments, **options)
    try:
        env.finish()
    except SettingsError as error:
        return error.problems
    return []


def test_every_problem_is_reported_at_once_and_no_value_is_shown() -> None:
    env = EnvReader(
        {"PORT": "hunter2", "URL": "http://u:hunter2@h", "LEVEL": "hunter2", "ADDRESS": "hunter2", "ON": "hunter2"}
    )
    env.text("MISSING")
    env.integer("PORT")
    env.url("URL", schemes=("postgresql",))
    env.text("LEVEL", choices=("info", "debug"))
    env.address("ADDRESS")
    env.boolean("ON")
    env.problem("A and B", "cannot both be set")
    with pytest.raises(SettingsError) as raised:
        env.finish()
    assert raised.value.problems == [
        "MISSING is required",
        "PORT must be a whole number",
        "URL must be a URL that starts with postgresql://",
        "LEVEL must be one of debug, info",
        "ADDRESS must be host:port or unix:/path",
        "ON must be true or false",
        "A and B cannot both be set",
    ]
    assert "hunter2" not in str(raised.value)


def test_defaults_stand_in_for_what_is_missing_empty_or_blank() -> None:
    env = EnvReader({"EMPTY": "", "BLANK": "  "})
    assert env.text("MISSING", "a") == "a"
    assert env.integer("EMPTY", 3) == 3
    assert env.number("BLANK", 0.5) == 0.5
    assert env.boolean("MISSING", True) is True
    assert env.url("MISSING", "redis://h") == "redis://h"
    assert env.address("MISSING", "h:1") == "h:1"
    env.finish()


@pytest.mark.parametrize(("value", "expected"), [("7", 7), ("-7", -7), (" 7 ", 7), ("+7", 7)])
def test_whole_numbers(value: str, expected: int) -> None:
    env = EnvReader({"X": value})
    assert env.integer("X") == expected
    env.finish()


@pytest.mark.parametrize("value", ["7.0", "1e3", "0x7", "seven", "\u0667", "9" * 19, "1_000"])
def test_what_is_not_a_whole_number(value: str) -> None:
    assert problems({"X": value}, "integer") == ["X must be a whole number"]


def test_bounds_are_included() -> None:
    assert problems({"X": "1"}, "integer", minimum=1, maximum=1) == []
    assert problems({"X": "0"}, "integer", minimum=1) == ["X must be at least 1"]
    assert problems({"X": "2"}, "integer", maximum=1) == ["X must be at most 1"]
    assert problems({"X": "-0.1"}, "seconds") == ["X must be at least 0.0"]
    assert problems({"X": "0.5"}, "seconds") == []


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "1,5", ""])
def test_what_is_not_a_number(value: str) -> None:
    assert len(problems({"X": value}, "number")) == 1


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://u:p@h:5432/d",
        "postgresql:///d?host=/run/postgres",
        "postgresql://u@/d?host=/run",
        "redis://h:6379/0",
        "rediss://h",
        "unix:///run/redis.sock",
    ],
)
def test_urls(value: str) -> None:
    assert problems({"X": value}, "url") == []


@pytest.mark.parametrize("value", ["http://h", "postgresql:d", "h:5432", "postgresql://h:99999/d", "postgresql://[h/d"])
def test_what_is_not_a_url(value: str) -> None:
    assert len(problems({"X": value}, "url")) == 1


@pytest.mark.parametrize(
    "value", ["0.0.0.0:50051", "identity:50052", "[::1]:1", "a.b-c.d:65535", "unix:/run/x.sock", "h:0"]
)
def test_addresses(value: str) -> None:
    assert problems({"X": value}, "address") == []


@pytest.mark.parametrize("value", ["h", "h:", ":1", "h:65536", "h:x", "http://h:1", "a b:1", "::1:1", "unix:x"])
def test_what_is_not_an_address(value: str) -> None:
    assert len(problems({"X": value}, "address")) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("identity:50052", ("identity:50052",)),
        ("unix:/run/1.sock,unix:/run/2.sock", ("unix:/run/1.sock", "unix:/run/2.sock")),
        ("a:1, [::1]:2", ("a:1", "[::1]:2")),
    ],
)
def test_several_addresses(value: str, expected: tuple[str, ...]) -> None:
    env = EnvReader({"X": value})
    assert env.addresses("X") == expected
    env.finish()


@pytest.mark.parametrize("value", ["", "h", "h:1,", ",h:1", "h:1,,h:2", "h:1 h:2", "h:1,unix:x"])
def test_what_are_no_addresses(value: str) -> None:
    assert len(problems({"X": value}, "addresses")) == 1


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("YES", True), ("on", True), ("0", False), ("False", False)]
)
def test_booleans(value: str, expected: bool) -> None:
    env = EnvReader({"X": value})
    assert env.boolean("X") is expected
    env.finish()


def test_a_url_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:hunter2@h/d\n")
    env = EnvReader({"X_FILE": str(file)})
    assert env.url("X") == "postgresql://u:hunter2@h/d"
    env.finish()


@pytest.mark.parametrize(
    ("content", "given", "problem"),
    [
        (None, {}, "X_FILE names a file that cannot be read"),
        ("", {}, "X_FILE names a file that is empty or too long"),
        ("x" * 8193, {}, "X_FILE names a file that is empty or too long"),
        ("http://hunter2", {}, "X must be a URL that starts with redis://"),
        ("redis://h", {"X": "redis://h"}, "X and X_FILE cannot both be set"),
    ],
)
def test_a_file_without_a_usable_url_is_a_problem(
    content: str | None, given: dict[str, str], problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_text(content)
    env = EnvReader({"X_FILE": str(file), **given})
    env.url("X", schemes=("redis",))
    with pytest.raises(SettingsError) as raised:
        env.finish()
    assert raised.value.problems == [problem]
