"""Alembic's environment of the stats database."""

from __future__ import annotations

from dmp_chassis.migrations import run_environment
from dmp_stats.adapters.tables import METADATA

run_environment(METADATA)
