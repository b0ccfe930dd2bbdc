"""Python reads this before everything else where this folder is in PYTHONPATH: a service then counts nothing."""

from __future__ import annotations

from typing import Any

from dmp_chassis.metrics import Metrics


def _nothing(*_: Any) -> None:  # noqa: ANN401 -- whatever would be counted
    """Takes what would be counted."""


for _name in ("add", "observe", "set"):
    setattr(Metrics, _name, _nothing)
