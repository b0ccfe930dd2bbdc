"""`dmp reference put|patch|get`: what is known of users besides their events, by which metrics are grouped."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from dmp_cli.failures import CommandError
from dmp_cli.moments import written
from dmp_cli.session import Session, command

if TYPE_CHECKING:
    from dmp_client import answers

_SHAPES: Final = 'JSON {"user": {"plan": "pro"}}, or CSV with a user_id column; - is stdin.'
_File = Annotated[
    str,
    typer.Argument(metavar="FILE", help=_SHAPES),
]
_Age = Annotated[str | None, typer.Option("--ts", metavar="TIME", help="How old the data is; by default, now.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(help="Replace, change or read the reference table.", no_args_is_help=True)
    app.add_typer(group, name="reference")

    @command(group, "put")
    def put(session: Session, file: _File, ts: _Age = None) -> None:
        """Replaces the whole table. An older one than what is in place is refused."""
        _written(session, session.client().put_reference(read_users(file), ts=ts))

    @command(group, "patch")
    def patch(session: Session, file: _File, ts: _Age = None) -> None:
        """Changes the users in the file and leaves the others. null takes away an attribute, or a user."""
        _written(session, session.client().patch_reference(read_users(file), ts=ts))

    @command(group, "get")
    def get(
        session: Session, user: Annotated[str | None, typer.Argument(metavar="USER", help="One user.")] = None
    ) -> None:
        """Says which table is in force, or what it knows of one user."""
        client = session.client()
        if user is None:
            state = client.reference()
            if session.out.json:
                session.out.value(state)
            else:
                session.out.line(
                    f"generation {state.generation}: {state.users} users, of {written(state.ts) or 'never'}"
                )
            return
        known = client.reference_user(user)
        if session.out.json:
            session.out.value(known)
        else:
            session.out.table(["attribute", "value"], sorted([name, value] for name, value in known.attributes.items()))


def read_users(file: str) -> dict[str, Any]:
    """The users of a file. Raises CommandError, which says where it is wrong."""
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    if file.lower().endswith(".csv"):
        return _csv_users(file, body)
    try:
        users = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CommandError(f"{file} is not a JSON object: {error}", hint=_SHAPES) from None
    inner = users.get("user_metadata")
    return inner if isinstance(inner, dict) else users


def _csv_users(file: str, body: bytes) -> dict[str, Any]:
    try:
        rows = list(csv.DictReader(body.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{file} is no CSV: {error}") from None
    users: dict[str, Any] = {}
    for number, row in enumerate(rows, 2):
        user = (row.pop("user_id", None) or "").strip()
        if not user:
            raise CommandError(f"{file}, line {number} has no user_id", hint="The first line names the columns.")
        users[user] = {name: value for name, value in row.items() if name and value not in (None, "")}
    return users


def _written(session: Session, written: answers.ReferenceWritten) -> None:
    if session.out.json:
        session.out.value(written)
    else:
        session.out.line(f"generation {written.generation}: {written.users} users")
