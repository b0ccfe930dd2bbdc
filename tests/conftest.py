"""Fixtures for every suite. The servers behind them are real; see `tests/servers.py`."""

from __future__ import annotations

pytest_plugins = ["tests.servers"]
