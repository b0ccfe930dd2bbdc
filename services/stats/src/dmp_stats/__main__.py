"""`python -m dmp_stats serve|migrate`."""

from __future__ import annotations

from dmp_chassis.entry import main
from dmp_stats.app import migrate_database, serve

if __name__ == "__main__":
    main("stats", serve=serve, migrate=migrate_database)
