"""Each line of the threat model names the test that would turn red without what it says."""

from __future__ import annotations

import ast
import re

import pytest

from dmp_stack.programs import repository_root

ROOT = repository_root()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines()
    if line.startswith("| ") and "---" not in line
][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_its_test_exists(row: list[str]) -> None:
    threat, defence, test = row
    assert threat
    assert defence
    match = re.fullmatch(r"`(tests/[\w/]+\.py)::(\w+)`", test)
    assert match is not None, test
    tree = ast.parse((ROOT / match[1]).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert match[2] in functions


def test_it_has_lines() -> None:
    assert len(ROWS) >= 20
