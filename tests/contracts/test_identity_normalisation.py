"""CONTRACT 2: how the values of each identifier type are compared, and how they are shown."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.answers import match, person_of, user
from tests.contracts.payloads import fresh, identified_event

STRENGTH = {
    "email": "strong",
    "phone": "strong",
    "wallet_address": "strong",
    "user_id": "strong",
    "browser_id": "weak",
    "ip_address": "weak",
}
PLURAL = {
    "email": "emails",
    "phone": "phones",
    "wallet_address": "wallet_addresses",
    "user_id": "user_ids",
    "browser_id": "browser_ids",
}
# The type, spellings of one value (# stands for fresh digits), how it is compared, how it is shown.
SAME = [
    (
        "email",
        ["  Ann.#@Example.ORG ", "ann.#@example.org", "ANN.#@EXAMPLE.ORG"],
        "ann.#@example.org",
        "ann.#@example.org",
    ),
    ("email", ["ÄÖ#@example.org", "äö#@EXAMPLE.org"], "äö#@example.org", "äö#@example.org"),
    ("phone", [" +49 (151) 7.7-# ", "+4915177#", "+49-151-77 #", "(+49)15177[#]"], "+4915177#", "+49 (151) 7.7-#"),
    ("wallet_address", [" 0xABCDEF# ", "0xabcdef#", "0xAbCdEf#"], "0xabcdef#", "0xABCDEF#"),
    ("wallet_address", [" bc1QxY# ", "bc1QxY#"], "bc1QxY#", "bc1QxY#"),
    ("user_id", [" U-Ann-# ", "U-Ann-#\t"], "U-Ann-#", "U-Ann-#"),
    ("browser_id", [" Br-# ", "Br-#"], "Br-#", "Br-#"),
]
DIFFERENT = [
    ("email", "a.#@example.org", "a#@example.org"),
    ("email", "a+tag#@example.org", "a#@example.org"),
    ("phone", "+4915177#", "4915177#"),
    ("phone", "+4915177#", "+4915177#1"),
    ("wallet_address", "bc1QxY#", "bc1qxy#"),
    ("wallet_address", "0xabcdef#", "abcdef#"),
    ("user_id", "U-#", "u-#"),
    ("browser_id", "Br-#", "br-#"),
]
ADDRESSES = [
    ("192.0.2.77", "192.0.2.77"),
    (" 192.0.2.77 ", "192.0.2.77"),
    ("2001:DB8::00AB", "2001:db8::ab"),
    ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
]


def digits() -> str:
    """Fresh decimal digits: they may stand in a phone number as in any other value."""
    return str(int(fresh("d").partition("-")[2], 16))


@pytest.mark.parametrize(("kind", "spellings", "compared", "shown"), SAME)
def test_spellings_of_one_value_are_one_person(
    api: httpx.Client, kind: str, spellings: list[str], compared: str, shown: str
) -> None:
    unique = digits()
    profiles = [
        person_of(api, identified_event(identifiers={kind: spelling.replace("#", unique)})) for spelling in spellings
    ]
    assert len(set(profiles)) == 1
    values = user(api, profiles[0])["identifiers"]
    assert values[PLURAL[kind]] == [shown.replace("#", unique)]
    for spelling in spellings:
        found = match(api, kind, spelling.replace("#", unique))
        assert found["internal_user_id"] == profiles[0]
        assert found["match"]["normalized"] == compared.replace("#", unique)
        assert found["match"]["identifier"] == kind
        assert found["match"]["strength"] == STRENGTH[kind]


@pytest.mark.parametrize(("kind", "left", "right"), DIFFERENT)
def test_different_values_are_different_people(api: httpx.Client, kind: str, left: str, right: str) -> None:
    unique = digits()
    first = person_of(api, identified_event(identifiers={kind: left.replace("#", unique)}))
    second = person_of(api, identified_event(identifiers={kind: right.replace("#", unique)}))
    assert first != second


@pytest.mark.parametrize(("written", "canonical"), ADDRESSES)
def test_an_ip_address_is_shown_in_its_canonical_form(api: httpx.Client, written: str, canonical: str) -> None:
    email = f"{fresh('a')}@example.org"
    profile = person_of(api, identified_event(identifiers={"email": email, "ip_address": written}))
    assert user(api, profile)["identifiers"]["ip_addresses"] == [canonical]
    assert (
        match(api, "ip_address", written)["match"] | {"normalized": canonical, "strength": "weak"}
        == match(api, "ip_address", written)["match"]
    )


@pytest.mark.parametrize("value", ["300.1.2.3", "not an address", "1.2.3", "::gg", "1.2.3.4:80", "fe80::1%eth0"])
def test_an_impossible_ip_address_never_breaks_an_event(api: httpx.Client, value: str) -> None:
    event = identified_event(identifiers={"email": f"{fresh('a')}@example.org", "ip_address": value})
    assert api.post("/events", json=event).status_code in (202, 422)


def test_values_that_their_normal_form_leaves_empty_are_nobody(api: httpx.Client) -> None:
    for value in ("---", "( ) . -", "()"):
        people = set()
        for _ in range(2):
            event = identified_event(identifiers={"phone": value, "email": f"{fresh('a')}@example.org"})
            people.add(person_of(api, event))
        assert len(people) == 2, value
        alone = api.post("/events", json=identified_event(identifiers={"phone": value}))
        assert alone.status_code in (202, 422)
        assert alone.json()["results"][0].get("internal_user_id") not in people


@pytest.mark.parametrize("kind", ["email", "phone", "wallet_address", "user_id", "browser_id"])
def test_very_long_values_never_break_an_event(api: httpx.Client, kind: str) -> None:
    for length in (255, 256, 321, 1000, 5000, 100_000):
        event = identified_event(identifiers={kind: fresh("v") + "9" * length})
        assert api.post("/events", json=event).status_code in (202, 422), length
