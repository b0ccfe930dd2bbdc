"""Alembic's environment: the chassis runs the revisions of `versions/`."""

from __future__ import annotations

from dmp_chassis.migrations import run_environment
from dmp_ingest.adapters.tables import metadata

run_environment(metadata)
