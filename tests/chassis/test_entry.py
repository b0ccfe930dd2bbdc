"""The command line: which command runs, and how failures end it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
import sqlalchemy as sa

from dmp_chassis.entry import Command, main
from dmp_chassis.service import ServiceDefinition
from dmp_chassis.settings import EnvReader, SettingsError
from tests.chassis.echo_service import API


@pytest.fixture(autouse=True)
def restored_root() -> Iterator[None]:
    """The handlers and the level of the root logger as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


class Unusable(ServiceDefinition[Any]):
    """A service that raises this error instead of serving."""

    error: ClassVar[Exception | None] = None
    served: ClassVar[list[str]] = []

    async def serve(self) -> None:
        """Notes that it was asked to."""
        self.served.append(self.name)
        if self.error is not None:
            raise self.error


def serve(error: Exception | None = None) -> list[str]:
    """The names of the services that `serve` has started."""

    class Service(Unusable):
        pass

    Service.error, Service.served = error, []

    def refuse(_: object) -> Any:  # noqa: ANN401 -- never returns
        raise AssertionError("not asked")

    def service() -> ServiceDefinition[Any]:
        return Service(name="test", api=API, tables=sa.MetaData(), read_settings=refuse, assemble=refuse)

    main("test", service=service, arguments=["serve"])
    return Service.served


def not_loaded() -> ServiceDefinition[Any]:
    raise AssertionError("only serving needs the service")


def test_serving_loads_the_service_and_serves() -> None:
    assert serve() == ["test"]


def test_migrating_applies_the_revisions_in_the_package_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    directory = tmp_path / "dmp_test" / "migrations"
    (directory / "versions").mkdir(parents=True)
    (tmp_path / "dmp_test" / "__init__.py").touch()
    (directory / "env.py").write_text(
        "import sqlalchemy as sa\nfrom dmp_chassis.migrations import run_environment\nrun_environment(sa.MetaData())\n"
    )
    (directory / "versions" / "0001.py").write_text(
        "from alembic import op\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade():\n    op.execute('CREATE TABLE made (n integer)')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DMP_TEST_DATABASE_URL", database_url)
    main("test", service=not_loaded, arguments=["migrate"])
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM made").fetchone() == (0,)


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main("test", service=not_loaded, arguments=["dance"])
    assert raised.value.code == 2
    assert "python -m dmp_test" in capsys.readouterr().err


def test_unusable_settings_are_listed_and_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    env = EnvReader({"PORT": "hunter2"})
    env.integer("PORT")
    env.url("DATABASE_URL")
    with pytest.raises(SettingsError) as problems:
        env.finish()
    with pytest.raises(SystemExit) as raised:
        serve(problems.value)
    assert raised.value.code == 2
    assert capsys.readouterr().err == (
        "test: the settings cannot be used:\n  PORT must be a whole number\n  DATABASE_URL is required\n"
    )


def test_migrating_without_a_database_ends_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DMP_TEST_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as raised:
        main("test", service=not_loaded, arguments=["migrate"])
    assert raised.value.code == 2
    assert capsys.readouterr().err == "test: the settings cannot be used:\n  DMP_TEST_DATABASE_URL is required\n"


def test_a_failed_command_ends_with_1_and_logs_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        serve(OSError("postgresql://role:hunter2@host/db is away"))
    assert raised.value.code == 1
    printed = capsys.readouterr().err
    assert "host/db is away" in printed
    assert "hunter2" not in printed


def test_a_service_may_have_commands_of_its_own_with_flags_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    given: list[Mapping[str, str]] = []

    async def count(told: Mapping[str, str]) -> None:
        given.append(told)

    def go(*arguments: str) -> None:
        own = Command(help="counts", run=count, flags={"dry-run": "only says how many"}, options={"from": "where"})
        main("test", service=not_loaded, commands={"count": own}, arguments=arguments)

    go("count")
    go("count", "--dry-run")
    go("count", "--from", "here", "--dry-run")
    assert given == [{}, {"dry-run": ""}, {"dry-run": "", "from": "here"}]
    with pytest.raises(SystemExit):
        go("count", "--loud")
    assert "count" in capsys.readouterr().err
