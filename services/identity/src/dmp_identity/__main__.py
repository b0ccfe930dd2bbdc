"""`python -m dmp_identity serve|migrate`."""

from __future__ import annotations

from dmp_chassis.entry import main
from dmp_identity.app import migrate, serve

if __name__ == "__main__":
    main("identity", serve=serve, migrate=migrate)
