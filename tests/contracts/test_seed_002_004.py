"""The stories of the contact services (002, 004), with values of their own in place of the printed ones."""

from __future__ import annotations

import httpx

from tests.contracts.payloads import Json, fresh, fresh_email, fresh_phone


def ask(api: httpx.Client, **body: str) -> Json:
    response = api.post("/identify", json=body)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def test_a_known_pair_answers_with_its_primary_and_secondaries(api: httpx.Client) -> None:
    lorraine, mcfly, phone = f"lorraine@{fresh('h')}.edu", f"mcfly@{fresh('h')}.edu", fresh_phone()[1:]
    first = ask(api, email=lorraine, phoneNumber=phone)["contact"]["primaryContactId"]
    (second,) = ask(api, email=mcfly, phoneNumber=phone)["contact"]["secondaryContactIds"]
    contact = ask(api, email=mcfly, phoneNumber=phone)["contact"]
    wanted = {
        "primaryContatctId": first,
        "emails": [lorraine, mcfly],
        "phoneNumbers": [phone],
        "secondaryContactIds": [second],
    }
    assert {name: contact[name] for name in wanted} == wanted
    for body in ({"email": lorraine}, {"email": mcfly}, {"phoneNumber": phone}):
        assert ask(api, **body)["contact"] == contact


def test_an_unknown_pair_is_a_new_primary(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()[1:]
    contact = ask(api, email=email, phoneNumber=phone)["contact"]
    assert contact["primaryContactId"] == contact["primaryContatctId"]
    wanted = {"emails": [email], "phoneNumbers": [phone], "secondaryContactIds": []}
    assert {name: contact[name] for name in wanted} == wanted


def test_a_pair_across_two_primaries_joins_them_under_the_older(api: httpx.Client) -> None:
    george, biff, phones = fresh_email(), fresh_email(), [fresh_phone()[1:], fresh_phone()[1:]]
    older = ask(api, email=george, phoneNumber=phones[0])["contact"]["primaryContactId"]
    newer = ask(api, email=biff, phoneNumber=phones[1])["contact"]["primaryContactId"]
    contact = ask(api, email=george, phoneNumber=phones[1])["contact"]
    wanted = {
        "primaryContatctId": older,
        "emails": [george, biff],
        "phoneNumbers": phones,
        "secondaryContactIds": [newer],
    }
    assert {name: contact[name] for name in wanted} == wanted


def test_orders_with_either_value_in_common_are_one_persons(api: httpx.Client) -> None:
    """The opening example of 002: `abc` and `123`, `xyz` and `123`, `abc` and `456`."""
    abc, xyz, first, second = fresh("abc"), fresh("xyz"), fresh_phone()[1:], fresh_phone()[1:]
    ids = {
        ask(api, email=abc, phoneNumber=first)["primaryContactId"],
        ask(api, email=xyz, phoneNumber=first)["primaryContactId"],
        ask(api, email=abc, phoneNumber=second)["primaryContactId"],
    }
    assert len(ids) == 1
    answer = ask(api, phoneNumber=second)
    assert (answer["emails"], answer["phoneNumbers"]) == ([abc, xyz], [first, second])
    assert len(answer["secondaryContactIds"]) == 2


def test_the_three_flat_examples_in_a_row(api: httpx.Client) -> None:
    foo, new, phone = fresh_email(), fresh_email(), fresh_phone()
    first = ask(api, email=foo)
    primary = first["primaryContactId"]
    assert (first["emails"], first["phoneNumbers"], first["secondaryContactIds"]) == ([foo], [], [])
    second = ask(api, email=foo, phoneNumber=phone)
    assert (second["primaryContactId"], second["emails"], second["phoneNumbers"]) == (primary, [foo], [phone])
    assert len(second["secondaryContactIds"]) == 1
    third = ask(api, email=new, phoneNumber=phone)
    assert (third["primaryContactId"], third["emails"], third["phoneNumbers"]) == (primary, [foo, new], [phone])
    assert third["secondaryContactIds"][:1] == second["secondaryContactIds"]
    assert len(third["secondaryContactIds"]) == 2


def test_health_is_as_printed(api: httpx.Client) -> None:
    assert api.get("/health").json()["status"] == "healthy"
