"""`python -m dmp_identity serve|migrate|renormalise`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dmp_chassis.entry import Command, main

if TYPE_CHECKING:
    from dmp_chassis.service import AnyService


def service() -> AnyService:
    """The definition, which loads everything."""
    from dmp_identity.app import SERVICE

    return SERVICE


async def renormalise(given: Mapping[str, str]) -> None:
    """Reads stored values again by the policy's rules, or says what that would change. Raises SettingsError."""
    from dmp_identity.app import renormalise as read_values_again

    await read_values_again(dry_run="dry-run" in given)


if __name__ == "__main__":
    main(
        "identity",
        service=service,
        commands={
            "renormalise": Command(
                help="read stored values again by the policy's rules, while the service runs, and exit",
                run=renormalise,
                flags={"dry-run": "only say what it would merge or split, and put that on the review list"},
            )
        },
    )
