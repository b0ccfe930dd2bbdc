"""Puts a few stored strong identifiers under the keys that the policy's rules make, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_identity.adapters import respelling_store as store
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_store import PlanWriter
from dmp_identity.adapters.merge_store import find_merge
from dmp_identity.adapters.profile_reads import find_profiles
from dmp_identity.adapters.respelling_store import FormerIdentifier, Move
from dmp_identity.domain.errors import NeverMergeError
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.merge_people import MergeAct, MergeEnd
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.plan import Plan, Refusal
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.domain.respelling import Joined, Respelling, StoredIdentifier, new_value, respell, value_of
from dmp_identity.merge_profiles import merge_in_graph
from dmp_identity.undo_merge import split_people

CAUSE: Final = "renormalise"
"""What merged two people, in the history of merges."""
RULES: Final = tuple(rule.value for rule in RefusalReason)
_REASON: Final = "two spellings of one value by the rules of today"
_UNDO_REASON: Final = "two values by the rules of today"


class IdentifierRespeller:
    """Works by a parser's rules. run: the id of the work, by which its merges are found. Callers hold off everybody."""

    def __init__(self, parser: IdentifierParser, run: str, *, now_us: int) -> None:
        self._parser = parser
        self._run = run
        self._now_us = now_us
        self.merged = 0
        self.undone = 0

    async def respell(
        self, connection: psycopg.AsyncConnection[Any], type_name: str, values: Sequence[str]
    ) -> Respelling:
        """Reads the identifiers of these values again, and those that have their new values already."""
        found: dict[str, StoredIdentifier] = {}
        wanted = set(values)
        while wanted:
            rows = await store.identifiers_with(connection, type_name, sorted(wanted))
            found.update({row.value: row for row in rows})
            wanted = {value_of(self._parser, row) for row in rows} - found.keys() - wanted
        respelling = respell(found.values(), lambda row: value_of(self._parser, row))
        await self._apply(connection, type_name, respelling)
        return respelling

    async def part(self, connection: psycopg.AsyncConnection[Any], former: FormerIdentifier) -> bool:
        """Parts an identifier from the one that stands for it, if the two are not one value any more. The merge that
        they made is taken back once none of its identifiers needs it.
        """
        one = former.identifier
        value = new_value(self._parser, one.type, one.shown) or one.value
        if value == former.part_of:
            return False
        await store.drop_former(connection, former)
        there = await store.identifiers_with(connection, one.type, [value])
        if there:
            await self._join(connection, Joined(gone=one, kept=there[0], value=value))
        else:
            await store.put_identifiers(connection, [(one, value)], self._parser.number(one.type))
            if value != one.value:
                move = Move(type=one.type, old=one.value, new=value, profile=one.profile)
                await store.follow_moves(connection, [move], RULES)
        if former.merge_id is not None and not await store.is_merge_needed(connection, former.merge_id):
            await self._undo(connection, former.merge_id)
        return True

    async def _apply(self, connection: psycopg.AsyncConnection[Any], type_name: str, respelling: Respelling) -> None:
        number = self._parser.number(type_name)
        # All go before one comes: what one leaves, another may get.
        going = [*(one for one, _ in respelling.moved), *(joined.gone for joined in respelling.joined)]
        await store.take_identifiers(connection, going)
        await store.put_identifiers(connection, respelling.moved, number)
        old = {one.value: one.rules for one in respelling.same if one.rules != number}
        await store.number_anew(connection, type_name, old, number)
        for joined in respelling.joined:
            await self._join(connection, joined)
        moves = [
            *(Move(type=type_name, old=one.value, new=new, profile=one.profile) for one, new in respelling.moved),
            *(
                Move(type=type_name, old=joined.gone.value, new=joined.value, profile=joined.gone.profile)
                for joined in respelling.joined
            ),
        ]
        await store.follow_moves(connection, [move for move in moves if move.old != move.new], RULES)

    async def _join(self, connection: psycopg.AsyncConnection[Any], joined: Joined) -> None:
        """Makes the people of two identifiers one, unless the value is of many people or somebody keeps them apart."""
        gone, kept = joined.gone, joined.kept
        key = (gone.type, joined.value)
        merge_id: str | None = None
        shared = [one.shared_at_us for one in (gone, kept) if one.shared_at_us is not None]
        if shared:
            await store.share(connection, key, min(shared))
        else:
            merge_id = await self._merge(connection, key, kept.profile, gone.profile)
        await store.put_former(connection, [FormerIdentifier(identifier=gone, part_of=joined.value, merge_id=merge_id)])

    async def _merge(self, connection: psycopg.AsyncConnection[Any], key: Key, kept: int, gone: int) -> str | None:
        ends = [MergeEnd(profile=kept, key=key), MergeEnd(profile=gone, key=key)]
        act = MergeAct(cause=CAUSE, ref=self._run, source=CAUSE, reason=_REASON)
        try:
            merge_id = await merge_in_graph(connection, ends, act, now_us=self._now_us, compared=self._parser.compared)
        except NeverMergeError:
            refusal = Refusal(
                rule=RefusalReason.NEVER_MERGE, key=key, profile=kept, other=gone, ref=self._run, source=CAUSE
            )
            await announce(connection, [refusal], now_us=self._now_us)
            return None
        self.merged += bool(merge_id)
        return merge_id or None

    async def _undo(self, connection: psycopg.AsyncConnection[Any], merge_id: str) -> None:
        merge = await find_merge(connection, merge_id)
        if merge is None or merge.undone_at_us is not None:
            return
        sides = list(dict.fromkeys(profile for edge in merge.edges for profile in (edge.profile_a, edge.profile_b)))
        await split_people(connection, merge, sides, _UNDO_REASON, self._now_us, self._parser.compared)
        roots = {end.root for end in (await find_profiles(connection, sides)).values()}
        payload = {"merge_id": merge_id, "internal_user_ids": [public_id(root) for root in sorted(roots)]}
        await add_domain_events(connection, [DomainEvent(kind="MergeUndone", payload=payload)])
        self.undone += 1


async def announce(connection: psycopg.AsyncConnection[Any], refusals: Sequence[Refusal], *, now_us: int) -> None:
    """Puts evidence on the review list."""
    await PlanWriter(connection, Plan(refusals=list(refusals)), [], now_us=now_us).write_refusals()
