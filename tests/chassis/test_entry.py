"""The command line: which command runs, and how failures end it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from dmp_chassis.entry import Command, main
from dmp_chassis.settings import EnvReader, SettingsError


@pytest.fixture(autouse=True)
def restored_root() -> Iterator[None]:
    """The handlers and the level of the root logger as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def run(command: str, log: list[str], error: Exception | None = None) -> None:
    def act(name: str) -> None:
        log.append(name)
        if error is not None:
            raise error

    async def serve() -> None:
        act("serve")

    def migrate() -> None:
        act("migrate")

    main("test", serve=serve, migrate=migrate, arguments=[command])


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_the_argument_names_the_command(command: str) -> None:
    log: list[str] = []
    run(command, log)
    assert log == [command]


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run("dance", [])
    assert raised.value.code == 2
    assert "python -m dmp_test" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_unusable_settings_are_listed_and_end_with_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = EnvReader({"PORT": "hunter2"})
    env.integer("PORT")
    env.url("DATABASE_URL")
    with pytest.raises(SettingsError) as problems:
        env.finish()
    with pytest.raises(SystemExit) as raised:
        run(command, [], problems.value)
    assert raised.value.code == 2
    assert capsys.readouterr().err == (
        "test: the settings cannot be used:\n  PORT must be a whole number\n  DATABASE_URL is required\n"
    )


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_failed_command_ends_with_1_and_logs_without_secrets(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(command, [], OSError("postgresql://role:hunter2@host/db is away"))
    assert raised.value.code == 1
    printed = capsys.readouterr().err
    assert "host/db is away" in printed
    assert "hunter2" not in printed


def test_a_service_may_have_commands_of_its_own_with_flags(capsys: pytest.CaptureFixture[str]) -> None:
    given: list[frozenset[str]] = []

    async def count(flags: frozenset[str]) -> None:
        given.append(flags)

    async def serve() -> None:
        raise AssertionError

    def go(*arguments: str) -> None:
        own = Command(help="counts", run=count, flags={"dry-run": "only says how many"})
        main("test", serve=serve, migrate=lambda: None, others={"count": own}, arguments=arguments)

    go("count")
    go("count", "--dry-run")
    assert given == [frozenset(), frozenset({"dry-run"})]
    with pytest.raises(SystemExit):
        go("count", "--loud")
    assert "count" in capsys.readouterr().err
