"""People as they are typed: an id (`user_7`), or an identifier (`email:a@b.com`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmp_cli.failures import CommandError

if TYPE_CHECKING:
    from dmp_client import DmpClient

HELP = "An id (user_7), or an identifier (email:a@b.com)."


def split(text: str) -> tuple[str, str] | None:
    """Type and value of an identifier; None for an id."""
    kind, colon, value = text.partition(":")
    if not colon:
        return None
    if not kind or not value:
        raise CommandError(f"{text!r} names nobody", hint="Use an id (user_7) or an identifier (email:a@b.com).")
    return kind, value


def user_id(client: DmpClient, text: str) -> str:
    """The id of whoever was typed. Raises NotFoundError, CommandError."""
    identifier = split(text)
    return text if identifier is None else client.match(*identifier).internal_user_id


def identifier(text: str) -> tuple[str, str]:
    """Type and value of an identifier. Raises CommandError for anything else."""
    parts = split(text)
    if parts is None:
        raise CommandError(f"{text!r} is no identifier", hint="Use its type and its value, such as email:a@b.com.")
    return parts
