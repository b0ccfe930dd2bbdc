"""`python -m dmp_ingest serve|migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmp_chassis.entry import main

if TYPE_CHECKING:
    from dmp_chassis.service import AnyService


def service() -> AnyService:
    """The definition, which loads everything."""
    from dmp_ingest.app import SERVICE

    return SERVICE


if __name__ == "__main__":
    main("ingest", service=service)
