"""`python -m dmp_stats serve|migrate|reset-reference-clock`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dmp_chassis.entry import Command, main

if TYPE_CHECKING:
    from dmp_chassis.service import AnyService


def service() -> AnyService:
    """The definition, which loads everything."""
    from dmp_stats.app import SERVICE

    return SERVICE


async def reset_clock(given: Mapping[str, str]) -> None:
    """Resets the clock of the reference table. Raises SettingsError."""
    from dmp_stats.app import reset_clock_of_reference

    await reset_clock_of_reference()


if __name__ == "__main__":
    main(
        "stats",
        service=service,
        commands={
            "reset-reference-clock": Command(
                help="give the reference table in place the time 1970-01-01: any table is accepted next",
                run=reset_clock,
            )
        },
    )
