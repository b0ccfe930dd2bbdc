"""The console's sources keep to the limits of the house, and to its policy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "console").rglob("*.*js"))
LOCKS = [ROOT / folder / "package-lock.json" for folder in ("console", "tests/console/browser", "tests/javascript")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_and_makes_no_markup_of_texts(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 300
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://", text)
        == []
    )


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 30


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_every_package_is_pinned_by_its_hash_and_no_address_is_named(path: Path) -> None:
    packages = json.loads(path.read_text("utf-8"))["packages"]
    ours = packages.pop("")
    assert packages
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
    for name, version in {**ours.get("dependencies", {}), **ours.get("devDependencies", {})}.items():
        assert packages[f"node_modules/{name}"]["version"] == version
