"""Whoever knows one service knows all three: the same files, the same names in them, the same commands."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dmp.access.v1 import scope_pb2
from dmp_chassis.service import AnyService, ServiceDefinition
from dmp_chassis.settings import SettingsError

CONTEXTS = ("ingest", "identity", "stats")
FILES = {
    "__main__.py",
    "app.py",
    "metrics.py",
    "settings.py",
    "api/errors.py",
    "api/servicer.py",
    "adapters/tables.py",
    "domain/errors.py",
    "migrations/env.py",
    "py.typed",
}
ENVIRONMENT = {
    "DMP_PLAIN_INSIDE": "1",
    "DMP_REDIS_URL": "unix:///nowhere",
    "DMP_IDENTITY_ADDRESS": "localhost:1",
    "DMP_STATS_ADDRESS": "localhost:2",
}

pytestmark = pytest.mark.parametrize("context", CONTEXTS)


def definition(context: str) -> AnyService:
    service = importlib.import_module(f"dmp_{context}.app").SERVICE
    assert isinstance(service, ServiceDefinition)
    return service


def run(context: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m dmp_<context>` with no other settings than these."""
    return subprocess.run(
        [sys.executable, "-m", f"dmp_{context}", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_has_the_files_that_every_service_has(context: str) -> None:
    package = Path(str(importlib.import_module(f"dmp_{context}").__file__)).parent
    assert {name for name in FILES if not (package / name).is_file()} == set()


def test_its_names_are_those_of_every_service(context: str) -> None:
    service = definition(context)
    errors = importlib.import_module(f"dmp_{context}.api.errors")
    tables = importlib.import_module(f"dmp_{context}.adapters.tables")
    servicer = importlib.import_module(f"dmp_{context}.api.servicer")
    assert service.name == context
    assert (service.api.errors, service.api.domain) == (errors.ERRORS, f"{context}.dmp")
    assert list(service.api.services) == [servicer.SERVICE_NAME]
    assert f"dmp.{context}.v1.{context.capitalize()}Service" == servicer.SERVICE_NAME
    assert service.tables is tables.METADATA


def test_every_limit_is_that_of_an_rpc_that_exists(context: str) -> None:
    stubs = importlib.import_module(f"dmp.{context}.v1.{context}_service_pb2")
    (described,) = stubs.DESCRIPTOR.services_by_name.values()
    limits = definition(context).api.max_request_bytes
    assert set(limits) - {""} <= set(described.methods_by_name)
    assert limits[""] == 1 << 20


def test_its_settings_hold_those_of_every_service(context: str) -> None:
    url = f"DMP_{context.upper()}_DATABASE_URL"
    read = definition(context).read_settings
    port = 50051 + CONTEXTS.index(context)
    common = read({**ENVIRONMENT, url: "postgresql://u@localhost/d"}).common
    assert common.action_retention_days == 1095
    assert (common.database_url, common.redis_url, common.listen, common.log_level, common.drain_seconds) == (
        "postgresql://u@localhost/d",
        "unix:///nowhere",
        f"0.0.0.0:{port}",
        "info",
        2.5,
    )
    with pytest.raises(SettingsError) as raised:
        read(
            {
                "DMP_LOG_LEVEL": "loud",
                "DMP_DRAIN_SECONDS": "-1",
                "DMP_ACTION_RETENTION_DAYS": "-1",
                f"DMP_{context.upper()}_LISTEN": "nowhere",
            }
        )
    problems = "\n".join(raised.value.problems)
    common_names = ("DMP_REDIS_URL", "DMP_LOG_LEVEL", "DMP_DRAIN_SECONDS", "DMP_ACTION_RETENTION_DAYS")
    for name in (url, *common_names, f"DMP_{context.upper()}_LISTEN"):
        assert name in problems


def test_a_service_that_others_reach_needs_certificates_or_the_word_that_it_needs_none(context: str) -> None:
    read, listen = definition(context).read_settings, f"DMP_{context.upper()}_LISTEN"
    plain = {name: value for name, value in ENVIRONMENT.items() if name != "DMP_PLAIN_INSIDE"}
    plain[f"DMP_{context.upper()}_DATABASE_URL"] = "postgresql://u@localhost/d"
    for open_to_others in ("0.0.0.0:1", "[::]:1", "10.0.0.7:1", f"{context}:1"):
        with pytest.raises(SettingsError) as raised:
            read({**plain, listen: open_to_others})
        assert [problem.split()[0] for problem in raised.value.problems] == [listen]
    for for_this_machine in ("127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/nowhere"):
        assert read({**plain, listen: for_this_machine}).common.listen == for_this_machine


def test_each_rpc_believes_the_gateway_or_ingest_as_its_proto_says(context: str) -> None:
    stubs = importlib.import_module(f"dmp.{context}.v1.{context}_service_pb2")
    (described,) = stubs.DESCRIPTOR.services_by_name.values()
    believed = definition(context).api.callers
    assert believed.keys() == {f"/{described.full_name}/{method.name}" for method in described.methods}
    for method in described.methods:
        inside = method.GetOptions().Extensions[scope_pb2.scope] == scope_pb2.SCOPE_INTERNAL
        expected = {"ingest"} if inside else {"gateway"}
        if method.name == "MatchIdentifier":
            expected.add("ingest")
        assert believed[f"/{described.full_name}/{method.name}"] == expected, method.name


def test_serving_names_every_missing_setting_and_exits_with_2(context: str) -> None:
    done = run(context, "serve", DMP_LOG_LEVEL="loud")
    assert done.returncode == 2
    for name in (f"DMP_{context.upper()}_DATABASE_URL", "DMP_REDIS_URL", "DMP_LOG_LEVEL"):
        assert name in done.stderr


def test_migrating_needs_the_database_only(context: str) -> None:
    done = run(context, "migrate")
    assert done.returncode == 2
    assert done.stderr == (
        f"{context}: the settings cannot be used:\n  DMP_{context.upper()}_DATABASE_URL is required\n"
    )


def test_migrating_again_does_nothing_and_loads_no_server(context: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{context}_database_url")
    done = run(context, "migrate", **{f"DMP_{context.upper()}_DATABASE_URL": url, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "dmp_chassis.migrations" in loaded
    assert loaded & {"grpc", "alembic", "sqlalchemy", f"dmp_{context}.app"} == set()


def test_the_migrated_schema_equals_the_tables(context: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{context}_database_url").replace("postgresql://", "postgresql+psycopg://")
    tables = definition(context).tables
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            options = {"compare_type": True, "compare_server_default": True, "target_metadata": tables}
            differences: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), tables)
    finally:
        engine.dispose()
    assert differences == []


def test_only_adapters_speak_sql(context: str) -> None:
    package = Path(str(importlib.import_module(f"dmp_{context}").__file__)).parent
    elsewhere = [
        path for path in package.rglob("*.py") if not {"adapters", "migrations"} & set(path.relative_to(package).parts)
    ]
    assert len(elsewhere) > 20
    assert [f"{path.name}:{line}" for path in elsewhere for line in _speaks_sql(path)] == []


def _speaks_sql(path: Path) -> Iterator[int]:
    """The lines of a module that hold a statement or run one."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Constant(value=str() | bytes() as text, lineno=line):
                statement = text.decode("latin-1") if isinstance(text, bytes) else text
                if re.match(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|TRUNCATE|LOCK|COPY)\s+\S", statement):
                    yield line
            case ast.Call(func=ast.Attribute(attr="execute" | "executemany"), lineno=line):
                yield line
