"""`/identify`: the examples of both sources, every rule of contacts, and many clients at once."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import grpc
import pytest

from dmp.identity.v1 import erasure_pb2
from dmp.identity.v1 import identity_service_pb2 as pb
from tests.identity.batches import event
from tests.identity.client import Identity


def flat(answer: pb.IdentifyResponse) -> tuple[int, list[str], list[str], list[int]]:
    """The flat form, after checking that the nested one says the same."""
    contact = answer.contact
    assert contact.primary_contact_id == contact.primary_contatct_id == answer.primary_contact_id
    assert (contact.emails, contact.phone_numbers) == (answer.emails, answer.phone_numbers)
    assert contact.secondary_contact_ids == answer.secondary_contact_ids
    return (
        answer.primary_contact_id,
        list(answer.emails),
        list(answer.phone_numbers),
        list(answer.secondary_contact_ids),
    )


async def seed_contacts(identity: Identity, *rows: tuple[int, str, str, int | None, str]) -> None:
    """Rows as a table of an older system has them: id, phone, e-mail, linked id, creation time; a person each
    primary.
    """
    for contact_id, phone, email, linked_id, created_at in rows:
        person = linked_id or contact_id
        when = datetime.fromisoformat(created_at)
        created_at_us = int(when.timestamp() * 1e6)
        await identity.rows(
            "INSERT INTO profile VALUES (%s, %s, %s, true) ON CONFLICT DO NOTHING", (person, person, created_at_us)
        )
        for kind, value in (("phone", phone), ("email", email)):
            await identity.rows(
                "INSERT INTO identifier (type, value, profile_id, first_seen_at_us, ordinal, cause, ref, source)"
                " VALUES (%s, %s, %s, %s, 0, 'contact', '', '') ON CONFLICT DO NOTHING",
                (kind, value, person, created_at_us),
            )
        await identity.rows(
            "INSERT INTO contact VALUES (%s, %s, %s, %s, %s, %s, %s, NULL, %s)",
            (contact_id, phone, email, linked_id, "secondary" if linked_id else "primary", when, when, person),
        )
    await identity.rows("SELECT setval('contact_ids', (SELECT max(id) FROM contact))")
    await identity.rows("SELECT setval('profile_ids', (SELECT max(id) FROM profile))")


async def test_a_known_pair_adds_nothing(identity: Identity) -> None:
    await seed_contacts(
        identity,
        (1, "123456", "lorraine@hillvalley.edu", None, "2023-04-01 00:00:00.374+00:00"),
        (23, "123456", "mcfly@hillvalley.edu", 1, "2023-04-20 05:30:00.11+00:00"),
    )
    answer = await identity.identify("mcfly@hillvalley.edu", "123456")
    assert flat(answer) == (1, ["lorraine@hillvalley.edu", "mcfly@hillvalley.edu"], ["123456"], [23])
    answer = await identity.identify("newunkonown@hillvalley.edu", "789012")
    assert flat(answer) == (24, ["newunkonown@hillvalley.edu"], ["789012"], [])


async def test_a_request_that_joins_two_primaries_adds_no_row_and_moves_updated_at(identity: Identity) -> None:
    await seed_contacts(
        identity,
        (11, "919191", "george@hillvalley.edu", None, "2023-04-11 00:00:00.374+00:00"),
        (27, "717171", "biffsucks@hillvalley.edu", None, "2023-04-21 05:30:00.11+00:00"),
        (28, "717172", "biffsucks@hillvalley.edu", 27, "2023-04-22 05:30:00.11+00:00"),
    )
    before = datetime.now(UTC)
    answer = await identity.identify("george@hillvalley.edu", "717171")
    assert flat(answer) == (
        11,
        ["george@hillvalley.edu", "biffsucks@hillvalley.edu"],
        ["919191", "717171", "717172"],
        [27, 28],
    )
    rows = await identity.rows(
        'SELECT id, "linkedId", "linkPrecedence", "updatedAt" >= %s FROM contact ORDER BY id', (before,)
    )
    assert rows == [(11, None, "primary", True), (27, 11, "secondary", True), (28, 11, "secondary", True)]


async def test_new_values_add_one_row_each_and_ids_are_not_burned(identity: Identity) -> None:
    assert flat(await identity.identify("foo@bar.com")) == (1, ["foo@bar.com"], [], [])
    for _ in range(3):
        answer = await identity.identify("Foo@bar.com ", "+91 99-99")
        assert flat(answer) == (1, ["foo@bar.com"], ["+91 99-99"], [2])
    answer = await identity.identify("newemail@example.com", "+919999")
    assert flat(answer) == (1, ["foo@bar.com", "newemail@example.com"], ["+91 99-99"], [2, 3])


async def test_a_value_that_is_known_from_events_is_the_same_person(identity: Identity) -> None:
    (person,) = await identity.apply(event(email="a@b.com", wallet_address="0x1234"))
    assert flat(await identity.identify("a@b.com", "123")) == (1, ["a@b.com"], ["123"], [])
    assert (await identity.match("phone", "123")).internal_user_id == person


async def test_events_that_merge_people_relink_their_contacts(identity: Identity) -> None:
    await identity.identify("a@b.com", "1")
    await identity.identify("c@d.com", "2")
    await identity.identify("e@f.com", "2")
    await identity.apply(event(email="c@d.com", phone="1"))
    answer = await identity.identify("e@f.com")
    assert flat(answer) == (1, ["a@b.com", "c@d.com", "e@f.com"], ["1", "2"], [2, 3])
    rows = await identity.rows('SELECT id, "linkedId", "updatedAt" > "createdAt" FROM contact ORDER BY id')
    assert rows == [(1, None, True), (2, 1, True), (3, 1, True)]


async def test_soft_deleted_rows_take_no_part(identity: Identity) -> None:
    await identity.identify("a@b.com", "1")
    await identity.identify("c@d.com", "1")
    await identity.rows('UPDATE contact SET "deletedAt" = now() WHERE id = 1')
    assert flat(await identity.identify("c@d.com")) == (2, ["c@d.com"], ["1"], [])
    assert await identity.rows('SELECT id, "linkedId" FROM contact WHERE id = 2') == [(2, None)]


NUMBERS = [
    (b'{"phoneNumber": 123456}', "123456"),
    (b'{"phoneNumber": 12345678901234567890}', "12345678901234567890"),
    (b'{"phoneNumber": " +1 2 ", "email": null}', "+1 2"),
    (b'{"phoneNumber": "7", "email": "  ", "other": [1, {"a": null}]}', "7"),
    (b'{"phoneNumber": 1.50}', "1.50"),
]


async def test_json_bodies_are_read_as_the_contract_says(identity: Identity) -> None:
    for body, phone in NUMBERS:
        assert list((await identity.identify_json(body)).phone_numbers) == [phone]


BAD_BODIES = [
    (b"{", "MALFORMED_BODY", ""),
    (b"null", "MALFORMED_BODY", ""),
    (b"[]", "MALFORMED_BODY", ""),
    (b"", "MALFORMED_BODY", ""),
    (b'{"email": "\xff"}', "MALFORMED_BODY", ""),
    (b"[" * 10_000, "MALFORMED_BODY", ""),
    (b'{"email": ' + b"[" * 10_000, "MALFORMED_BODY", ""),
    (b"{}", "INVALID_ARGUMENT", "email"),
    (b'{"email": "", "phoneNumber": null}', "INVALID_ARGUMENT", "phoneNumber"),
    (b'{"email": 5}', "INVALID_ARGUMENT", "email"),
    (b'{"email": ["a@b.com"]}', "INVALID_ARGUMENT", "email"),
    (b'{"phoneNumber": true}', "INVALID_ARGUMENT", "phoneNumber"),
    (b'{"phoneNumber": {"a": 1}}', "INVALID_ARGUMENT", "phoneNumber"),
    (b'{"email": "a\\u0000b"}', "INVALID_ARGUMENT", "email"),
    (b'{"email": "a\\ud800b"}', "INVALID_ARGUMENT", "email"),
    (b'{"email": "' + b"a" * 321 + b'"}', "INVALID_ARGUMENT", "email"),
    (b'{"phoneNumber": ' + b"1" * 65 + b"}", "INVALID_ARGUMENT", "phoneNumber"),
]


async def test_bad_bodies_are_refused_by_name(identity: Identity) -> None:
    for body, reason, field in BAD_BODIES:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.identify_json(body)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, body[:50]
        details = dict(tuple(caught.value.trailing_metadata() or ()))["grpc-status-details-bin"]
        assert reason.encode() in details, body[:50]
        assert field.encode() in details, body[:50]
    assert await identity.rows("SELECT count(*) FROM contact") == [(0,)]


async def test_values_at_their_limits_are_accepted(identity: Identity) -> None:
    answer = await identity.identify("ab" * 160, "12" * 32)
    assert flat(answer) == (1, ["ab" * 160], ["12" * 32], [])


async def test_sixty_four_clients_leave_the_clusters_of_one(replicas: list[Identity]) -> None:
    chance = random.Random(7)
    clusters = 60
    requests = []
    for number in range(clusters):
        emails, phones = [f"c{number}e{n}@x.com" for n in range(3)], [f"7{number}00{n}" for n in range(3)]
        chain = [(emails[0], phones[0]), (emails[1], phones[0]), (emails[1], phones[1])]
        chain += [(emails[2], phones[1]), (emails[2], phones[2]), (emails[0], ""), ("", phones[2])]
        requests += chain
    bridges = [(n, n + 1) for n in range(0, clusters, 4)]
    requests += [(f"c{a}e0@x.com", f"7{b}000") for a, b in bridges]
    requests *= 2
    chance.shuffle(requests)
    work = iter(enumerate(requests))

    async def client() -> None:
        for number, (email, phone) in work:
            await replicas[number % 2].identify(email, phone)

    await asyncio.gather(*(client() for _ in range(64)))
    joined = {b: a for a, b in bridges}
    expected: dict[int, set[str]] = {}
    for number in range(clusters):
        expected.setdefault(joined.get(number, number), set()).update(f"c{number}e{n}@x.com" for n in range(3))
    rows = await replicas[0].rows(
        'SELECT coalesce("linkedId", id), email FROM contact WHERE email IS NOT NULL AND "deletedAt" IS NULL'
    )
    found: dict[int, set[str]] = {}
    for primary, email in rows:
        found.setdefault(primary, set()).add(email)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))
    primaries = await replicas[0].rows("SELECT id FROM contact WHERE \"linkPrecedence\" = 'primary'")
    assert {row[0] for row in primaries} == set(found)
    oldest = await replicas[0].rows(
        'SELECT count(*) FROM contact s JOIN contact p ON p.id = s."linkedId"'
        ' WHERE (p."createdAt", p.id) > (s."createdAt", s.id) OR p."linkedId" IS NOT NULL'
    )
    assert oldest == [(0,)]


async def test_every_value_of_the_person_is_listed_though_only_events_showed_it(identity: Identity) -> None:
    await identity.apply(event(email="a@b.com", phone="+49 30-1"))
    assert flat(await identity.identify("a@b.com")) == (1, ["a@b.com"], ["+49 30-1"], [])
    await identity.apply(event(email="a@b.com", user_id="u"), event(email="c@d.com", user_id="u"))
    assert flat(await identity.identify("A@B.com", "+49301")) == (
        1,
        ["a@b.com", "c@d.com"],
        ["+49 30-1"],
        [2],
    )
    assert await identity.rows('SELECT email, "phoneNumber" FROM contact ORDER BY id') == [
        ("a@b.com", None),
        ("a@b.com", "+49301"),
    ]
    export = await identity.stub.ExportProfile(
        erasure_pb2.ExportProfileRequest(internal_user_id=(await identity.match("user_id", "u")).internal_user_id)
    )
    assert (list(export.contact.emails), list(export.contact.phone_numbers)) == (["a@b.com", "c@d.com"], ["+49 30-1"])


async def test_the_primary_s_values_come_first_and_then_the_others_by_age(identity: Identity) -> None:
    await identity.apply(event(email="old@x.com", user_id="u"))
    await identity.apply(event(email="mid@x.com", user_id="u", phone="1"))
    await identity.identify("new@x.com", "1")
    assert flat(await identity.identify("mid@x.com")) == (1, ["new@x.com", "old@x.com", "mid@x.com"], ["1"], [2])
    assert flat(await identity.identify("old@x.com"))[1] == ["new@x.com", "old@x.com", "mid@x.com"]


async def test_answers_in_one_group_know_what_the_requests_before_them_brought(identity: Identity) -> None:
    await identity.apply(event(email="a@b.com", phone="1"), event(email="c@d.com", phone="2"))
    answers = await asyncio.gather(identity.identify("a@b.com"), identity.identify("c@d.com", "1"))
    last = flat(await identity.identify("a@b.com"))
    assert (last[1], last[2]) == (["a@b.com", "c@d.com"], ["1", "2"])
    assert flat(answers[1])[1:3] == (["a@b.com", "c@d.com"], ["1", "2"])
