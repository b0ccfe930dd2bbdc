"""CONTRACT 3: any number of parallel requests gives the same clusters as the same requests one after another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.contracts.answers import identify
from tests.contracts.payloads import Json, fresh, fresh_email, fresh_phone

CLIENTS = 32
MOST_OF_ONE = 20
"""E-mail addresses, or phone numbers, that one person may have by the default policy."""


def ask_from_many(crowd: httpx.Client, bodies: Sequence[Json]) -> list[Json]:
    """All requests from many clients at the same time; the answers in the order of the requests."""

    def ask(share: Sequence[Json]) -> list[Json]:
        return [identify(crowd, **body) for body in share]

    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = list(pool.map(ask, [bodies[client::CLIENTS] for client in range(CLIENTS)]))
    answers: list[Json] = [{} for _ in bodies]
    for client, share in enumerate(shares):
        answers[client::CLIENTS] = share
    return answers


def test_the_same_new_person_at_once_is_one_contact(crowd: httpx.Client) -> None:
    for _ in range(5):
        body = {"email": fresh_email(), "phoneNumber": fresh_phone()}
        answers = ask_from_many(crowd, [body] * CLIENTS)
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["secondaryContactIds"] == []


def test_many_new_emails_of_one_phone_at_once_are_one_contact(crowd: httpx.Client, api: httpx.Client) -> None:
    phone = fresh_phone()
    emails = [fresh_email() for _ in range(MOST_OF_ONE)]
    ask_from_many(crowd, [{"email": email, "phoneNumber": phone} for email in emails])
    answer = identify(api, phoneNumber=phone)
    assert sorted(answer["emails"]) == sorted(emails)
    assert answer["phoneNumbers"] == [phone]
    assert len(answer["secondaryContactIds"]) == MOST_OF_ONE - 1
    assert all(identify(api, email=email) == answer for email in emails[:5])


def test_a_bridge_from_many_clients_at_once_adds_no_row(crowd: httpx.Client, api: httpx.Client) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    older, newer = (
        identify(api, email=email, phoneNumber=phone)["primaryContactId"]
        for email, phone in zip(emails, phones, strict=True)
    )
    bridges = [{"email": emails[0], "phoneNumber": phones[1]}, {"email": emails[1], "phoneNumber": phones[0]}]
    answers = ask_from_many(crowd, bridges * CLIENTS)
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0]["primaryContactId"], answers[0]["secondaryContactIds"]) == (older, [newer])


def test_clusters_are_exact_under_any_interleaving(crowd: httpx.Client, api: httpx.Client) -> None:
    """Chains of e-mail addresses and phone numbers, asked for in random order by all clients at once."""
    stem, clusters, length = fresh("c"), 40, 6
    emails = {c: [f"{stem}-{c}-{n}@example.org" for n in range(length)] for c in range(clusters)}
    phones = {c: [fresh_phone() for _ in range(length)] for c in range(clusters)}
    bodies = [
        {"email": emails[c][n], "phoneNumber": phones[c][m]}
        for c in range(clusters)
        for n in range(length)
        for m in (n, n + 1)
        if m < length
    ] * 2
    random.Random(7).shuffle(bodies)
    ask_from_many(crowd, bodies)
    primaries = set()
    for c in range(clusters):
        answer = identify(api, email=emails[c][0])
        assert sorted(answer["emails"]) == sorted(emails[c])
        assert sorted(answer["phoneNumbers"]) == sorted(phones[c])
        assert answer["primaryContactId"] < min(answer["secondaryContactIds"])
        assert all(identify(api, phoneNumber=phone) == answer for phone in phones[c])
        primaries.add(answer["primaryContactId"])
    assert len(primaries) == clusters


def test_bridges_between_clusters_at_once_make_one_cluster(crowd: httpx.Client, api: httpx.Client) -> None:
    emails = [fresh_email() for _ in range(MOST_OF_ONE)]
    phones = [fresh_phone() for _ in range(MOST_OF_ONE)]
    primaries = [
        identify(api, email=email, phoneNumber=phone)["primaryContactId"]
        for email, phone in zip(emails, phones, strict=True)
    ]
    bridges = [{"email": emails[n], "phoneNumber": phones[(n + 1) % MOST_OF_ONE]} for n in range(MOST_OF_ONE)] * 3
    random.Random(8).shuffle(bridges)
    ask_from_many(crowd, bridges)
    for email in emails:
        answer = identify(api, email=email)
        assert answer["primaryContactId"] == primaries[0]
        assert answer["secondaryContactIds"] == primaries[1:]
        assert answer["emails"] == emails
        assert answer["phoneNumbers"] == phones
