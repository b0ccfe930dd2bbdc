"""What `deploy/citus` says about each table, and what the services' statements say to the distributed ones, as data."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.deploy.deployment import ROOT

_DISTRIBUTED: Final = re.compile(
    r"^SELECT create_distributed_table\('(\w+)', '(\w+)', colocate_with => '(\w+)'\)$", re.MULTILINE
)
_SAID: Final = re.compile(r"^-- (distributed|local): (\w+), (?:because|beside \w+, because) ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the tables of one service are."""

    distributed: dict[str, str]
    """The distribution column of each distributed table."""
    beside: dict[str, str] = field(default_factory=dict)
    """The table that a distributed one is co-located with; `none` for one that is with no other."""
    said: list[tuple[str, str]] = field(default_factory=list)
    """What the comments say: (`distributed` or `local`, table), in order."""


def layout(context: str) -> Layout:
    """The layout of a service's database."""
    text = (ROOT / "deploy" / "citus" / f"{context}.sql").read_text("utf-8")
    found = _DISTRIBUTED.findall(text)
    return Layout(
        distributed={table: column for table, column, _ in found},
        beside={table: other for table, _, other in found},
        said=_SAID.findall(text),
    )


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module with their lines. What is put into them is left out."""
    whole: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if node in whole:
            continue
        text = _text(node)
        if text is not None:
            whole.update(ast.walk(node))
            yield getattr(node, "lineno", 0), text


def _text(node: ast.AST | None) -> str | None:
    """The text that an expression makes as far as it can be read from it; None if it makes none."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=bytes() as data):
            return data.decode("latin-1")
        case ast.JoinedStr(values=parts):
            return " ".join(_text(part) or "" for part in parts)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
            texts = [text for text in (_text(left), _text(right)) if text is not None]
            return " ".join(texts) if texts else None
        case ast.Call(func=ast.Attribute(value=made_of, attr="encode" | "replace" | "format")):
            return _text(made_of)
    return None


_ROW_COUNT: Final = "rowcount"


def trusted_row_counts(path: Path) -> list[int]:
    """The lines where a module believes a number of rows that need not be true on Citus.

    That of an upsert is the number of rows that were selected. A number that comes with no statement that can be read
    is not believed either.
    """
    module = ast.parse(path.read_text("utf-8"))
    named = {
        target.id: text
        for node in ast.walk(module)
        if isinstance(node, ast.Assign | ast.AnnAssign) and (text := _text(node.value)) is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found: list[int] = []
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = [
            node.lineno for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr == _ROW_COUNT
        ]
        if not lines:
            continue
        statements = [
            text
            for node in ast.walk(function)
            for text in ([named[node.id]] if isinstance(node, ast.Name) and node.id in named else [_text(node) or ""])
            if re.match(r"\s*(INSERT|UPDATE|DELETE|WITH|MERGE)\b", text)
        ]
        statements = [_outermost(text) for text in statements]
        if not statements or any(re.search(r"\bON CONFLICT\b|\bMERGE\b|\bINSERT\b", text) for text in statements):
            found += lines
    return found


def _outermost(statement: str) -> str:
    """The statement without what stands in brackets: a row count is that of its outermost part."""
    while (shorter := re.sub(r"\([^()]*\)", " ", statement)) != statement:
        statement = shorter
    return statement
