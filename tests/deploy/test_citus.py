"""What has to hold for the databases to be distributed by Citus, as far as it can be seen without one.

The rest is seen on a cluster: `deploy/citus/README.md`.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Final

import psycopg
import pytest
import sqlalchemy as sa

from tests.deploy.citus_layout import layout, texts_of, trusted_row_counts
from tests.deploy.deployment import CONTEXTS, ROOT

_PACKAGES: Final = {
    **{context: ROOT / "services" / context / "src" / f"dmp_{context}" for context in CONTEXTS},
    "chassis": ROOT / "libs" / "chassis" / "src" / "dmp_chassis",
}
_IMPOSSIBLE: Final = re.compile(r"\bctid\b|\bFOR (UPDATE|SHARE)\b|\bSKIP LOCKED\b|\bLATERAL\b|\bRECURSIVE\b")
_KNOWN: Final = {
    "log_retention.py": "a log that is distributed is not emptied, and ingest says so in its log",
}
"""Modules that say what Citus cannot do, and why that is no mistake."""


def tables_of(context: str) -> sa.MetaData:
    metadata: sa.MetaData = importlib.import_module(f"dmp_{context}.app").SERVICE.tables
    return metadata


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_layout_says_of_every_table_where_it_is_and_why(context: str) -> None:
    found = layout(context)
    said = [table for _, table in found.said]
    assert sorted(said) == sorted(tables_of(context).tables)
    assert {table for where, table in found.said if where == "distributed"} == found.distributed.keys()
    assert found.distributed


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_unique_key_of_a_distributed_table_contains_its_distribution_column(context: str) -> None:
    for name, column in layout(context).distributed.items():
        table = tables_of(context).tables[name]
        keys = [set(table.primary_key.columns.keys())]
        keys += [set(key.columns.keys()) for key in table.constraints if isinstance(key, sa.UniqueConstraint)]
        keys += [set(index.columns.keys()) for index in table.indexes if index.unique]
        assert [key for key in keys if column not in key] == [], name


@pytest.mark.parametrize("context", CONTEXTS)
def test_tables_that_lie_side_by_side_have_distribution_columns_of_one_type(context: str) -> None:
    found, tables = layout(context), tables_of(context).tables
    for name, other in found.beside.items():
        if other == "none":
            continue
        assert list(found.distributed).index(other) < list(found.distributed).index(name)
        one, two = tables[name].c[found.distributed[name]].type, tables[other].c[found.distributed[other]].type
        assert (repr(one), getattr(one, "collation", None)) == (repr(two), getattr(two, "collation", None))


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_distributed_table_has_nothing_that_belongs_to_one_node(context: str, request: pytest.FixtureRequest) -> None:
    names = list(layout(context).distributed)
    with psycopg.connect(request.getfixturevalue(f"{context}_database_url")) as connection:
        triggers = connection.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[]::oid[]) AND NOT tgisinternal", (names,)
        )
        assert triggers.fetchall() == []
        keys = connection.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' AND (conrelid = ANY(%(names)s::regclass[]::oid[])"
            " OR confrelid = ANY(%(names)s::regclass[]::oid[]))",
            {"names": names},
        )
        assert keys.fetchall() == []
        made = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_name = ANY(%s)"
            " AND (column_default IS NOT NULL OR is_identity = 'YES' OR is_generated <> 'NEVER')",
            (names,),
        )
        assert made.fetchall() == []


@pytest.mark.parametrize("context", CONTEXTS)
def test_no_statement_asks_of_a_distributed_table_what_citus_cannot_do(context: str) -> None:
    names = "|".join(layout(context).distributed)
    distributed = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE|USING) ({names})\b")
    adapters = sorted((_PACKAGES[context] / "adapters").glob("*.py"))
    found = {
        f"{path.name}:{line}": text
        for path in adapters
        if path.name not in _KNOWN
        for line, text in texts_of(path)
        if distributed.search(text) and _IMPOSSIBLE.search(text)
    }
    assert found == {}
    assert any(distributed.search(text) for path in adapters for _, text in texts_of(path))


@pytest.mark.parametrize("package", _PACKAGES)
def test_nobody_believes_the_row_count_of_an_upsert(package: str) -> None:
    found = {path.name: trusted_row_counts(path) for path in sorted(_PACKAGES[package].rglob("*.py"))}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_row_count_that_is_believed_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "store.py"
    module.write_text(
        '_ADD = "INSERT INTO event SELECT * FROM incoming" f" {_SORTED} ON CONFLICT DO NOTHING"\n'
        '_DROP: Final = b"DELETE FROM event WHERE event_key = %b"\n'
        "async def add(cursor):\n"
        "    await cursor.execute(_ADD)\n"
        "    return cursor.rowcount == 1\n"
        "async def drop(cursor):\n"
        "    return (await cursor.execute(_DROP)).rowcount\n"
        "async def write(cursor, statement):\n"
        "    return (await cursor.execute(statement)).rowcount\n"
        "async def change(cursor):\n"
        '    await cursor.execute("UPDATE event SET type = %s".encode())\n'
        "    return cursor.rowcount\n"
        '_MOVE = "WITH gone AS (DELETE FROM a RETURNING b), kept AS (INSERT INTO c SELECT * FROM gone ON CONFLICT (b)"'
        ' " DO NOTHING) SELECT FROM gone"\n'
        "async def move(cursor):\n"
        "    await cursor.execute(_MOVE)\n"
        "    return cursor.rowcount\n"
    )
    assert trusted_row_counts(module) == [5, 9]


def test_texts_are_read_whole(tmp_path: Path) -> None:
    module = tmp_path / "store.py"
    module.write_text(
        '_ONE = "SELECT" " 1"\n_TWO = f"SELECT {_ONE} FROM event" + b" FOR UPDATE".decode()\n_THREE = b"DELETE" % b""\n'
    )
    texts = [text.split() for _, text in texts_of(module)]
    assert [text for text in texts if text in (["SELECT", "1"], ["DELETE"])] == [["SELECT", "1"], ["DELETE"]]
    assert any({"SELECT", "FROM", "event"} <= set(text) for text in texts)
