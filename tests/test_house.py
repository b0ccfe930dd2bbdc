"""The limits of size that keep services and libraries easy to read, and tests that wait for conditions. Each exception
has its reason beside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[1]
_MOST_LINES: Final = 300
_LONGEST_FUNCTION: Final = 60
_MOST_PARAMETERS: Final = 6
_MOST_ATTRIBUTES: Final = 10
_Function = ast.FunctionDef | ast.AsyncFunctionDef

_FIELDS = "a record: one field for each thing that is read or stored, none of them derived from another"
_SERVICER = "one class has all RPCs of the proto's service; each method converts, calls one use case, and converts"
_IDENTITY: Final = "services/identity/src/dmp_identity/"
_INGEST: Final = "services/ingest/src/dmp_ingest/"
_STATS: Final = "services/stats/src/dmp_stats/"

EXCEPTIONS: Final[dict[str, str]] = {
    f"{_IDENTITY}adapters/tables.py": "all tables of one database, in the order of their migrations",
    f"{_IDENTITY}api/servicer.py": _SERVICER,
    f"{_IDENTITY}api/servicer.py::IdentityServicer.__init__": "the composition root gives it what its RPCs share",
    "services/ingest/src/dmp_ingest/api/servicer.py::IngestServicer.__init__": "each group of its RPCs is a parameter",
    f"{_IDENTITY}app.py::assemble": "the composition root: one place that makes every part, from top to bottom",
    f"{_IDENTITY}domain/graph.py::Graph": "a working copy of the snapshot's collections, and what was made since",
    f"{_IDENTITY}domain/graph_cache.py::GraphCache": "one collection for each kind of fact that the cache keeps",
    f"{_IDENTITY}domain/identifier_policy.py::IdentifierType": _FIELDS,
    f"{_IDENTITY}domain/plan.py::Plan": _FIELDS,
    f"{_IDENTITY}domain/respelling.py::StoredIdentifier": _FIELDS,
    f"{_INGEST}api/json_event.py::_RawFields": _FIELDS,
    f"{_INGEST}app.py::assemble": "the composition root: one place that makes every part, from top to bottom",
    f"{_INGEST}domain/event.py::AcceptableEvent": _FIELDS,
    f"{_INGEST}domain/event.py::SubmittedEvent": _FIELDS,
    f"{_INGEST}domain/event_policy.py::EventPolicy": _FIELDS,
    f"{_INGEST}domain/event_policy.py::event_policy": "one keyword for each limit of the policy file",
    f"{_INGEST}settings.py::Settings": _FIELDS,
    f"{_STATS}api/servicer.py": _SERVICER,
    f"{_STATS}app.py::assemble": "the composition root: one place that makes every part, from top to bottom",
    f"{_STATS}domain/stats_query.py::StatsQuery": _FIELDS,
    f"{_STATS}domain/stats_query.py::check_stats_query": "one keyword for each parameter of the request",
}
"""What is above a limit, and why it may be."""


def modules() -> list[Path]:
    """All modules of services and libraries but migrations, which are written once and never changed."""
    found = [path for folder in ("services", "libs") for path in (_ROOT / folder).glob("*/src/**/*.py")]
    return sorted(path for path in found if "migrations" not in path.parts)


def too_large(path: Path) -> Iterator[str]:
    """What is above a limit in a module: the module itself, its functions, its classes."""
    text = path.read_text("utf-8")
    name = path.relative_to(_ROOT).as_posix()
    if text.count("\n") > _MOST_LINES:
        yield name
    for where, node in _definitions(ast.parse(text), name):
        if isinstance(node, ast.ClassDef):
            if len(_attributes(node)) > _MOST_ATTRIBUTES:
                yield where
        elif _lines(node) > _LONGEST_FUNCTION or _parameters(node) > _MOST_PARAMETERS:
            yield where


def _definitions(tree: ast.AST, where: str) -> Iterator[tuple[str, _Function | ast.ClassDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            separator = "::" if where.endswith(".py") else "."
            yield f"{where}{separator}{node.name}", node
            yield from _definitions(node, f"{where}{separator}{node.name}")
        else:
            yield from _definitions(node, where)


def _lines(function: _Function) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def _parameters(function: _Function) -> int:
    given = function.args
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in named if name not in {"self", "cls"}])


def _attributes(node: ast.ClassDef) -> set[str]:
    """The fields of a record, and what methods assign to `self`."""
    found = {one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)}
    for one in ast.walk(node):
        match one:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(_ROOT).as_posix())
def test_modules_functions_classes_and_signatures_are_small(path: Path) -> None:
    assert [where for where in too_large(path) if where not in EXCEPTIONS] == []


def test_every_exception_names_what_there_is_and_has_a_reason() -> None:
    there = {path.relative_to(_ROOT).as_posix() for path in modules()}
    for path in modules():
        name = path.relative_to(_ROOT).as_posix()
        there |= {where for where, _ in _definitions(ast.parse(path.read_text("utf-8")), name)}
    assert EXCEPTIONS.keys() - there == set()
    assert all(EXCEPTIONS.values())


_WHERE_TESTS_WAIT: Final = "tests/conditions.py"
_SLEEP: Final = re.compile(r"(?<!pg_)\bsleep\((?!0\))")


def sleeps_without_a_reason(path: Path) -> list[int]:
    """The lines of a module that sleep and have no comment, nor one on the line above. `sleep(0)` lets others go on."""
    lines = path.read_text("utf-8").splitlines()
    return [
        number
        for number, (above, line) in enumerate(pairwise(["", *lines]), start=1)
        if _SLEEP.search(line) and "#" not in line and not above.lstrip().startswith("#")
    ]


def test_tests_and_measurements_wait_for_conditions_and_say_why_they_sleep() -> None:
    modules = [path for folder in ("tests", "bench") for path in (_ROOT / folder).glob("**/*.py")]
    found = {path.relative_to(_ROOT).as_posix(): sleeps_without_a_reason(path) for path in modules}
    assert len(found) > 100
    assert {path for path, lines in found.items() if lines} == {_WHERE_TESTS_WAIT}


def test_a_sleep_without_a_reason_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "sleepy.py"
    module.write_text(
        # Only text: nothing sleeps here.
        "time.sleep(1)\nawait asyncio.sleep(0.1)\nawait asyncio.sleep(0)\n"
        "sleep(3)  # why\n# why\nsleep(3)\npg_sleep(4)\n"
    )
    assert sleeps_without_a_reason(module) == [1, 2]


_LONGEST_LINE: Final = 150
_FENCES: Final = ("```", "~~~")


def long_lines(text: str) -> list[int]:
    """The numbers of the lines that are too long. A row of a table cannot be wrapped, nor what a command printed."""
    found, language = [], None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith(_FENCES):
            language = line.strip("`~ ") or "text" if language is None else None
        elif len(line) > _LONGEST_LINE and language != "console" and not line.startswith("|"):
            found.append(number)
    return found


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    folders = [path for path in _ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [*_ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]


def test_no_document_has_both_sides_of_a_conflict() -> None:
    mark = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    assert [path for path in documents() if mark.search(path.read_text("utf-8"))] == []


def test_lines_of_markdown_can_be_read_beside_other_windows() -> None:
    found = {path.relative_to(_ROOT).as_posix(): long_lines(path.read_text("utf-8")) for path in documents()}
    assert {"README.md", "docs/testing.md", "services/identity/README.md"} <= found.keys()
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_long_line_is_noticed() -> None:
    long = "x" * (_LONGEST_LINE + 1)
    shown = f"```console\n$ {long}\n```\n"
    assert long_lines(f"{long}\n| {long} |\n{shown}```sh\n{long}\n```\n{long[1:]}\n{long}\n") == [1, 7, 10]


def test_what_is_too_large_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_house._ROOT", tmp_path)
    module = tmp_path / "large.py"
    fields = "\n".join(f"        self.a{n} = {n}" for n in range(11))
    body = "\n".join("    pass" for _ in range(60))
    module.write_text(
        f"class Large:\n    def __init__(self, a, b, c, d, e, f):\n{fields}\n\n"
        f"def long():\n{body}\n\n"
        "def wide(a, b, c, *, d, e, f, g):\n    pass\n"
    )
    assert list(too_large(module)) == ["large.py::Large", "large.py::long", "large.py::wide"]
    module.write_text("\n" * 301)
    assert list(too_large(module)) == ["large.py"]
    module.write_text("\n" * 300)
    assert list(too_large(module)) == []
