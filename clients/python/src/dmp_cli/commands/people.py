"""`dmp user`, `dmp match`, `dmp explain`, `dmp history`: who somebody is, and why."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

import typer

from dmp_cli import people
from dmp_cli.moments import clock
from dmp_cli.output import Output
from dmp_cli.session import Session, command

if TYPE_CHECKING:
    from rich.tree import Tree

    from dmp_client import answers

_Person = Annotated[str, typer.Argument(metavar="PERSON", help=people.HELP)]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""

    @command(app, "user")
    def user(
        session: Session,
        person: _Person,
        events: Annotated[int, typer.Option(min=0, help="How many events of the timeline to show.")] = 20,
    ) -> None:
        """Shows a person: identifiers, merges, possible matches, timeline."""
        client = session.client()
        found = client.user(people.user_id(client, person), page_size=min(max(events, 1), 1000))
        timeline = list(itertools.islice(client.timeline(found.internal_user_id), events))
        if session.out.json:
            session.out.value({**_fields(found), "events": timeline})
            return
        _show_user(session.out, found, timeline)

    @command(app, "match")
    def match(
        session: Session,
        identifier: Annotated[str, typer.Argument(metavar="TYPE:VALUE", help="Such as email:a@b.com.")],
        namespace: Annotated[str | None, typer.Option(help="The namespace of a user id, if sources have some.")] = None,
    ) -> None:
        """Says whose an identifier is, and how it was read."""
        kind, value = people.identifier(identifier)
        found = session.client().match(kind, value, namespace=namespace)
        if session.out.json:
            session.out.value(found)
            return
        session.out.line(found.internal_user_id, style="bold")
        how = found.match
        session.out.line(f"  {how.strength} {how.identifier}, compared as {how.normalized}")
        if found.candidates:
            session.out.line(f"  several have it: {', '.join(found.candidates)}")

    @command(app, "explain")
    def explain(
        session: Session,
        first: Annotated[str, typer.Argument(metavar="FIRST", help=people.HELP)],
        second: Annotated[str, typer.Argument(metavar="SECOND", help=people.HELP)],
    ) -> None:
        """Says why two are one person, as a chain of evidence, or why they are not."""
        explanation = session.client().explain(first, second)
        if session.out.json:
            session.out.value(explanation)
        else:
            session.out.tree(evidence(explanation, first, second))

    @command(app, "history")
    def history(session: Session, person: _Person) -> None:
        """Lists the merges of a person, for `dmp undo`."""
        client = session.client()
        found = client.history(people.user_id(client, person))
        if session.out.json:
            session.out.value(found)
            return
        rows = [
            [
                merge.merge_id,
                clock(merge.merged_at),
                _joined(merge),
                merge.cause,
                merge.reason or merge.ref,
                f"undone {clock(merge.undone_at)}" if merge.undone else "",
            ]
            for merge in found.merges
        ]
        session.out.table(["merge", "at", "joined", "by", "because of", ""], rows)
        for apart in found.never_merges:
            session.out.line(f"kept apart: {' and '.join(apart.internal_user_ids)} ({apart.reason})")


def evidence(explanation: answers.Explanation, first: str, second: str) -> Tree:
    """The chain from one end to the other, each link with what showed it; or what stands between them."""
    from rich.text import Text
    from rich.tree import Tree

    if explanation.same_person:
        tree = Tree(Text.assemble((explanation.from_user_id, "bold"), f": {first} and {second} are one person"))
        branch = tree.add(explanation.chain[0].from_) if explanation.chain else tree
        for position, step in enumerate(explanation.chain):
            weakest = position == explanation.weakest_link and len(explanation.chain) > 1
            link = Text(_link(step))
            if weakest:
                link.append(" (the weakest link)", style="yellow")
            branch = branch.add(Text.assemble(step.to, "  ", link))
        return tree
    ends = " and ".join(
        f"{name} ({owner})" if owner and owner != name else name
        for name, owner in ((first, explanation.from_user_id), (second, explanation.to_user_id))
    )
    tree = Tree(Text.assemble(("not one person", "bold"), f": {ends}"))
    for objection in explanation.objections:
        about = f" {objection.identifier}" if objection.identifier else ""
        tree.add(Text(f"{objection.rule}{about}: {objection.message}"))
    return tree


def _link(step: answers.Step) -> str:
    parts = [step.rule.replace("_", " ")]
    if step.cause == "manual":
        parts.append(f"by hand ({step.source})" if step.source else "by hand")
    elif step.ref:
        parts.append(f"by {step.cause} {step.ref}" + (f" of {step.source}" if step.source else ""))
    if step.at:
        parts.append(f"at {clock(step.at)}")
    if step.merge_id:
        parts.append(f"in merge {step.merge_id}")
    return ", ".join([" ".join(parts[:2]), *parts[2:]])


def _joined(merge: answers.MergeRecord) -> str:
    return ", ".join(f"{edge.merged_id} into {edge.survivor_id}" for edge in merge.edges)


def _show_user(out: Output, found: answers.User, timeline: list[answers.TimelineEntry]) -> None:
    out.line(found.internal_user_id, style="bold")
    known = found.identifiers
    for name, values in (
        ("emails", known.emails),
        ("phones", known.phones),
        ("wallets", known.wallet_addresses),
        ("user ids", known.user_ids),
        ("browsers", known.browser_ids),
        ("addresses", known.ip_addresses),
        ("merged", found.merged_ids),
    ):
        if values:
            out.line(f"  {name}: {', '.join(values)}")
    for match in found.possible_matches:
        out.line(f"  may be {match.internal_user_id}: shares {match.identifier} {match.value}")
    if timeline:
        out.line("")
        out.table(
            ["at", "type", "source", "event"],
            [[clock(entry.timestamp), entry.event_type, entry.source, entry.event_id] for entry in timeline],
        )


def _fields(found: answers.User) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__struct_fields__ if not name.startswith("next_")}
