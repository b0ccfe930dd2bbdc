"""`dmp merge`, `dmp undo`, `dmp apart`, `dmp review`: decisions about who is one person."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from dmp_cli import people
from dmp_cli.failures import CommandError
from dmp_cli.moments import clock
from dmp_cli.session import Session, command

_Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept with the decision.")]
_People = Annotated[list[str], typer.Argument(metavar="PERSON PERSON...", help=people.HELP)]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""

    @command(app, "merge")
    def merge(session: Session, persons: _People, reason: _Reason = "") -> None:
        """Makes people one.

        The oldest answers for all; every old id keeps working.
        """
        client = session.client()
        ids = [people.user_id(client, person) for person in _at_least_two(persons)]
        merged = client.merge(ids, reason)
        if session.out.json:
            session.out.value(merged)
        elif merged.merge_id:
            session.out.line(f"{merged.internal_user_id} answers for {', '.join(merged.merged_ids)}")
            session.out.line(f"merge {merged.merge_id}")
        else:
            session.out.line(f"{merged.internal_user_id} is one person already: there was nothing to merge")

    @command(app, "undo")
    def undo(
        session: Session,
        merge_id: Annotated[str, typer.Argument(metavar="MERGE", help="The id of the merge: see `dmp history`.")],
        reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept with the decision.")],
    ) -> None:
        """Takes a merge back and keeps the people apart from now on."""
        undone = session.client().undo(merge_id, reason)
        if session.out.json:
            session.out.value(undone)
            return
        now = " and ".join(undone.internal_user_ids)
        session.out.line(f"undone already: {now}" if undone.already_undone else f"undone: {now} are apart again")
        for apart in undone.never_merges:
            session.out.line(f"kept apart by {apart.never_merge_id}: {' and '.join(apart.internal_user_ids)}")

    @command(app, "apart")
    def apart(
        session: Session,
        persons: _People,
        reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept with the decision.")],
    ) -> None:
        """Keeps two people apart whatever evidence says."""
        client = session.client()
        kept = client.keep_apart([people.user_id(client, person) for person in _at_least_two(persons)], reason)
        if session.out.json:
            session.out.value(kept)
        else:
            session.out.line(f"{' and '.join(kept.internal_user_ids)} are kept apart by {kept.never_merge_id}")

    @command(app, "review")
    def review(
        session: Session,
        rule: Annotated[str | None, typer.Option(help="Only this rule: limit, shared, blocked, never_merge, …")] = None,
        user: Annotated[str | None, typer.Option(metavar="PERSON", help="Only what went to this person.")] = None,
        limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 50,
    ) -> None:
        """Lists evidence that was not followed, and why.

        The last one first. Somebody may know better: see `dmp merge` and `dmp apart`.
        """
        client = session.client()
        whom = None if user is None else people.user_id(client, user)
        found = itertools.islice(client.review(rule=rule, internal_user_id=whom), limit)
        if session.out.json:
            for refusal in found:
                session.out.value(refusal)
            return
        session.out.table(
            ["last", "times", "rule", "identifier", "value", "person", "other", "source"],
            [
                [
                    clock(refusal.last_at),
                    refusal.times,
                    refusal.rule,
                    refusal.identifier,
                    refusal.value,
                    refusal.internal_user_id,
                    refusal.other_user_id,
                    refusal.source,
                ]
                for refusal in found
            ],
        )


def _at_least_two(persons: list[str]) -> list[str]:
    if len(persons) < 2:
        raise CommandError("one person is not enough", hint="Name two or more, such as `dmp merge user_1 user_2`.")
    return persons
