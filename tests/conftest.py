"""Fixtures for every suite. The servers behind them are real; see `tests/servers.py`."""

from __future__ import annotations

import hypothesis

pytest_plugins = ["tests.servers"]

# A property is about results: on a machine that others keep busy an example may take any time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
