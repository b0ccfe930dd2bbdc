"""Does everything to two identity services and to the model of sets, and compares what both know after each step."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dmp.identity.v1 import erasure_pb2, merge_pb2, separation_pb2
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.domain.errors import NeverMergeError
from dmp_identity.domain.profile_id import public_id
from tests.identity.batches import START_US, Event, batch
from tests.identity.client import people
from tests.identity.property.model import Limits, Merge, Model
from tests.identity.property.random_events import (
    STRONG_TYPES,
    VALUES,
    ShownIdentifiers,
    any_event,
    any_weak,
    events_of_a_shared_value,
)
from tests.identity.property.stored_graph import StoredGraph
from tests.identity.property.two_services import System

CHOICES = st.integers(0, 2**32 - 1).map(random.Random)


class _CallOfNobody:
    """The context of a call that names no caller."""

    def invocation_metadata(self) -> tuple[()]:
        return ()


class IdentityGraph(RuleBasedStateMachine):
    """Does everything to two services and to the model, and compares all that both know after each step.

    Each call goes to either service, so what one of them remembers is often changed by the other.
    """

    system: ClassVar[System]
    limits: ClassVar[Limits]
    happened: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(self.limits)
        self.stored = StoredGraph(self.system.database, self.model)
        self.stored.clear()
        self.chance = random.Random(0)
        self.seen: list[ShownIdentifiers] = []
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        """Adds up what happened in all trials."""
        self.happened.update(self.model.happened)

    def call(self, method: str, request: Any) -> Any:  # noqa: ANN401
        """Calls an RPC's method."""

        async def run() -> Any:  # noqa: ANN401
            return await getattr(self.chance.choice(self.system.servicers), method)(request, _CallOfNobody())

        return self.system.runner.run(run())

    @initialize(seed=st.integers(0, 2**32 - 1))
    def nothing(self, seed: int) -> None:
        """An empty graph."""
        self.chance = random.Random(seed)
        self.stored.compare()

    @rule(choice=CHOICES)
    def apply(self, choice: random.Random) -> None:
        """A batch of events; the answer names the people as they are after the batch."""
        self.apply_events([any_event(choice) for _ in range(choice.randint(1, 4))])

    def apply_events(self, events: list[ShownIdentifiers]) -> None:
        """Applies the events, twice, as one batch."""
        at = next(self.numbers)
        self.seen.extend(events)
        made = [
            Event(identifiers={**strong, **weak}, event_id=f"e{at}-{n}", at_us=START_US + n)
            for n, (strong, weak) in enumerate(events)
        ]
        message = batch(made, accepted_at_us=START_US + at)
        answer = people(self.call("ApplyBatch", pb.ApplyBatchRequest(batch=message)))
        targets = [
            self.model.see(one.event_id, list(strong.items()), sorted(weak.items()), START_US + at)[0]
            for one, (strong, weak) in zip(made, events, strict=True)
        ]
        for first, second in itertools.combinations(range(len(events)), 2):
            together = self.model.person(targets[first]) == self.model.person(targets[second])
            assert (answer[first] == answer[second]) == together
        assert self.call("ApplyBatch", pb.ApplyBatchRequest(batch=message)).already_applied
        self.stored.compare()

    @rule(choice=CHOICES)
    def apply_one(self, choice: random.Random) -> None:
        """A batch of one event."""
        self.apply_events([any_event(choice)])

    @precondition(lambda self: bool(self.seen))
    @rule(choice=CHOICES)
    def see_again(self, choice: random.Random) -> None:
        """Events like some of before: mostly they change nothing, once they have been seen. Then the same from other
        browsers, and now and then one of somebody else among them.
        """
        again = choice.choices(self.seen[-12:], k=choice.randint(1, 4))
        self.apply_events(again)
        moved = [(strong, any_weak(choice) if strong else weak) for strong, weak in again]
        self.apply_events([*moved, *again, *choice.choice([[], [], [any_event(choice)]])])

    @rule(choice=CHOICES)
    def browse(self, choice: random.Random) -> None:
        """The same browsers again and again, with now and then a login among them."""
        for _ in range(4):
            events: list[ShownIdentifiers] = [
                ({}, any_weak(choice) or {"browser_id": "7"}) for _ in range(choice.randint(1, 4))
            ]
            if choice.random() < 0.3:
                events.insert(choice.randint(0, len(events)), any_event(choice))
            self.apply_events(events)

    @rule(choice=CHOICES)
    def identify(self, choice: random.Random) -> None:
        """A contact request."""
        values = [None, *VALUES]
        email, phone = choice.choice(values), choice.choice(values)
        if email is None and phone is None:
            email = "2"
        answer = self.call("Identify", pb.IdentifyRequest(email=email or "", phone_number=phone or ""))
        person, rows = self.model.identify(email, phone, 2**60)
        for listed, kind, first in (
            (list(answer.emails), "email", rows[0].email),
            (list(answer.phone_numbers), "phone", rows[0].phone),
        ):
            assert sorted(listed) == sorted(self.model.listed(person, kind))
            assert first is None or listed[0] == first
        assert len(answer.secondary_contact_ids) == len(rows) - 1
        self.stored.compare()

    @precondition(lambda self: len(self.model.profiles) > 1)
    @rule(choice=CHOICES)
    def merge(self, choice: random.Random) -> None:
        """Two profiles are merged by hand."""
        first, second = choice.sample(self.model.profiles, 2)
        expected = self.model.merge_by_hand(first, second)
        request = pb.MergeProfilesRequest(
            internal_user_ids=[self.stored.public_id(first), self.stored.public_id(second)]
        )
        if expected == "apart":
            with pytest.raises(NeverMergeError):
                self.call("MergeProfiles", request)
            return
        answer = self.call("MergeProfiles", request)
        assert bool(answer.merge_id) == isinstance(expected, Merge)
        self.stored.compare()

    @precondition(lambda self: any(merge.in_force for merge in self.model.merges))
    @rule(choice=CHOICES)
    def undo(self, choice: random.Random) -> None:
        """Any merge in force is undone."""
        merge = choice.choice([merge for merge in self.model.merges if merge.in_force])
        merge_id = self.stored.merge_id(merge)
        self.model.undo(merge)
        self.call("UndoMerge", merge_pb2.UndoMergeRequest(merge_id=merge_id, reason="a trial"))
        self.stored.compare()

    @precondition(lambda self: len(self.model.people()) > 1)
    @rule(choice=CHOICES)
    def keep_apart(self, choice: random.Random) -> None:
        """Two people are kept apart."""
        known = sorted(self.model.people(), key=lambda person: self.model.oldest(person).number)
        first, second = (self.model.oldest(person) for person in choice.sample(known, 2))
        self.model.apart.append((first, second))
        ids = [self.stored.public_id(first), self.stored.public_id(second)]
        self.call("CreateNeverMerge", merge_pb2.CreateNeverMergeRequest(internal_user_ids=ids, reason="a trial"))
        self.stored.compare()

    @precondition(lambda self: any(profile.strong for profile in self.model.profiles))
    @rule(choice=CHOICES)
    def detach(self, choice: random.Random) -> None:
        """An identifier is taken from its person and, now and then, given to somebody."""
        owner = choice.choice([profile for profile in self.model.profiles if profile.strong])
        key = choice.choice(sorted(owner.strong))
        given = {"identifier": key[0], "value": key[1], "reason": "a trial"}
        if choice.random() < 0.6:
            request = separation_pb2.DetachIdentifierRequest(internal_user_id=self.stored.public_id(owner), **given)
            self.call("DetachIdentifier", request)
            self.model.detach(key, 2**60)
        else:
            profile = choice.choice(self.model.profiles)
            person = self.stored.public_id(profile)
            self.model.attach(profile, key)
            self.call("AttachIdentifier", separation_pb2.AttachIdentifierRequest(internal_user_id=person, **given))
        self.stored.compare()

    @rule(choice=CHOICES)
    def show_a_shared_value(self, choice: random.Random) -> None:
        """One value comes with others of one type, mostly one after another, as at a shop's counter."""
        events = events_of_a_shared_value(choice)
        size = choice.choice([1, 2, len(events)])
        for start in range(0, len(events), size):
            self.apply_events(events[start : start + size])

    @precondition(lambda self: any(profile.strong for profile in self.model.profiles))
    @rule(choice=CHOICES)
    def undo_shared(self, choice: random.Random) -> None:
        """All that a value joined is taken back; mostly of one that is shared."""
        known = sorted(key for profile in self.model.profiles for key in profile.strong)
        key = choice.choice(sorted(self.model.shared) if self.model.shared and choice.random() < 0.8 else known)
        merges, brought = len(self.model.joined_through(key)), self.model.brought(key)
        people = self.model.undo_shared(key, 2**60)
        request = separation_pb2.UndoSharedValueRequest(identifier=key[0], value=key[1], reason="a trial")
        answer = self.call("UndoSharedValue", request)
        self.stored.compare()
        assert len(answer.merge_ids) == merges
        oldest = sorted(self.stored.number(self.model.oldest(person)) for person in people)
        assert sorted(answer.internal_user_ids) == sorted(map(public_id, oldest))
        self.model.happened["taken back"] += bool(merges or brought)

    @precondition(lambda self: bool(self.model.shared))
    @rule()
    def list_shared(self) -> None:
        """The values that match nobody any more, with what each joined."""
        answer = self.call("ListSharedValues", separation_pb2.ListSharedValuesRequest())
        listed = {
            (one.identifier, one.value): (one.internal_user_id, one.merges, one.attached) for one in answer.values
        }
        model = self.model
        assert listed == {
            key: (
                self.stored.public_id(model.oldest(model.person(owner))),
                len(model.joined_through(key)),
                len(model.brought(key)),
            )
            for key in model.shared
            if (owner := model.owner(key)) is not None
        }

    @precondition(lambda self: bool(self.model.apart))
    @rule(choice=CHOICES)
    def let_together(self, choice: random.Random) -> None:
        """What keeps two people apart is removed."""
        kept = self.stored.rows(
            "SELECT id::text, profile_a, profile_b FROM never_merge WHERE removed_at_us IS NULL ORDER BY id"
        )
        assert len(kept) == len(self.model.apart)
        never_merge_id, a, b = choice.choice(kept)
        position = next(
            n
            for n, pair in enumerate(self.model.apart)
            if {self.stored.number(pair[0]), self.stored.number(pair[1])} == {a, b}
        )
        del self.model.apart[position]
        request = merge_pb2.RemoveNeverMergeRequest(never_merge_id=never_merge_id, reason="a trial")
        self.call("RemoveNeverMerge", request)
        self.stored.compare()

    @precondition(lambda self: len(self.model.profiles) > 4)
    @rule(choice=CHOICES)
    def erase(self, choice: random.Random) -> None:
        """A person is erased, or an identifier that nobody has. Every event that showed what went is to be cleaned,
        whoever's it is.
        """
        request = erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text())
        own: set[str] = set()
        if (nobodys := self.model.nobodys()) and choice.random() < 0.4:
            key = choice.choice(nobodys)
            request.identifier, request.value = key
            gone, of_others = self.model.erase_value(key)
        else:
            profile = choice.choice(self.model.profiles)
            request.internal_user_id = self.stored.public_id(profile)
            own = {event for one in self.model.person(profile) for event in one.events}
            gone, of_others = self.model.erase(self.model.person(profile))
        while not self.call("ErasePerson", request).finished:
            pass
        answer = self.call("ListErasedEvents", erasure_pb2.ListErasedEventsRequest(erasure_id=request.erasure_id))
        listed = dict(zip(answer.event_ids, answer.of_others, strict=True))
        assert {event for event, is_others in listed.items() if not is_others} == own
        assert of_others <= set(listed)
        self.model.happened["of others"] += bool(of_others)
        everything = [(kind, value) for kind in STRONG_TYPES for value in VALUES]
        types, values = zip(*everything, strict=True)
        matched = self.call(
            "MatchErased", erasure_pb2.MatchErasedRequest(erasure_id=request.erasure_id, types=types, values=values)
        )
        assert {everything[position] for position in matched.positions} == gone
        self.stored.assert_nothing_names(gone)
        # Batches of this trial are "accepted" long before the erasure; what comes from now on is new all the same.
        self.system.database.execute("UPDATE erasure SET erased_at_us = 0")
        self.stored.compare()
