"""`python -m dmp_ingest serve|migrate`."""

from __future__ import annotations

from dmp_chassis.entry import main
from dmp_ingest.app import migrate, serve

if __name__ == "__main__":
    main("ingest", serve=serve, migrate=migrate)
