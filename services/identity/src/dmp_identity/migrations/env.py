"""Alembic's entry: the chassis runs the revisions of `versions/`."""

from __future__ import annotations

from dmp_chassis.migrations import run_environment
from dmp_identity.adapters.tables import METADATA

run_environment(METADATA)
