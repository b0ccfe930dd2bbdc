"""CONTRACT 3: `POST /identify`, its request and its answer."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.contracts.answers import assert_error, assert_names_field, identify
from tests.contracts.payloads import fresh, fresh_email, fresh_phone


def contact(primary: int, emails: list[str], phones: list[str], secondaries: list[int]) -> dict[str, Any]:
    return {
        "primaryContactId": primary,
        "emails": emails,
        "phoneNumbers": phones,
        "secondaryContactIds": secondaries,
    }


def test_the_answer_is_nested_and_flat_with_both_spellings(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    answer = api.post("/identify", json={"email": email, "phoneNumber": phone}).json()
    number = answer["primaryContactId"]
    flat = contact(number, [email], [phone], [])
    assert {name: answer[name] for name in flat} == flat
    nested = flat | {"primaryContatctId": number}
    assert {name: answer["contact"][name] for name in nested} == nested


def test_contact_ids_are_small_integers(api: httpx.Client) -> None:
    number = identify(api, email=fresh_email())["primaryContactId"]
    assert type(number) is int
    assert 1 <= number < 2**31


@pytest.mark.parametrize("given", ["email", "phoneNumber"])
def test_one_value_makes_a_primary_contact(api: httpx.Client, given: str) -> None:
    value = fresh_email() if given == "email" else fresh_phone()
    answer = identify(api, **{given: value})
    assert answer["secondaryContactIds"] == []
    assert (answer["emails"], answer["phoneNumbers"]) == (([value], []) if given == "email" else ([], [value]))


def test_the_same_request_again_makes_no_row(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    first = identify(api, email=email, phoneNumber=phone)
    for body in ({"email": email, "phoneNumber": phone}, {"email": email}, {"phoneNumber": phone}):
        assert identify(api, **body) == first


def test_a_match_with_something_new_makes_one_secondary(api: httpx.Client) -> None:
    phone, emails = fresh_phone(), [fresh_email() for _ in range(3)]
    primary = identify(api, email=emails[0], phoneNumber=phone)["primaryContactId"]
    second = identify(api, email=emails[1], phoneNumber=phone)
    assert second == contact(primary, emails[:2], [phone], second["secondaryContactIds"])
    assert len(second["secondaryContactIds"]) == 1
    third = identify(api, email=emails[2], phoneNumber=phone)
    assert third["emails"] == emails
    assert third["secondaryContactIds"][:1] == second["secondaryContactIds"]
    assert len(third["secondaryContactIds"]) == 2
    assert primary < third["secondaryContactIds"][0] < third["secondaryContactIds"][1]


def test_adding_the_missing_half_makes_one_secondary(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    primary = identify(api, email=email)["primaryContactId"]
    answer = identify(api, email=email, phoneNumber=phone)
    assert answer == contact(primary, [email], [phone], answer["secondaryContactIds"])
    assert len(answer["secondaryContactIds"]) == 1
    assert identify(api, email=email, phoneNumber=phone) == answer


def test_two_known_values_of_one_person_in_a_new_pair_make_no_row(api: httpx.Client) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    identify(api, email=emails[0], phoneNumber=phones[0])
    identify(api, email=emails[0], phoneNumber=phones[1])
    before = identify(api, email=emails[1], phoneNumber=phones[0])
    assert identify(api, email=emails[1], phoneNumber=phones[1]) == before


def test_the_older_of_two_joined_primaries_stays_primary_and_no_row_is_added(api: httpx.Client) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    older = identify(api, email=emails[0], phoneNumber=phones[0])["primaryContactId"]
    newer = identify(api, email=emails[1], phoneNumber=phones[1])["primaryContactId"]
    joined = identify(api, email=emails[0], phoneNumber=phones[1])
    assert joined == contact(older, emails, phones, [newer])
    for body in ({"email": emails[1]}, {"phoneNumber": phones[1]}, {"email": emails[1], "phoneNumber": phones[0]}):
        assert identify(api, **body) == joined


def test_the_older_stays_primary_when_the_newer_is_named_first(api: httpx.Client) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    older = identify(api, email=emails[0], phoneNumber=phones[0])["primaryContactId"]
    newer = identify(api, email=emails[1], phoneNumber=phones[1])["primaryContactId"]
    assert identify(api, email=emails[1], phoneNumber=phones[0]) == contact(older, emails, phones, [newer])


def test_joining_takes_the_newers_secondaries_along(api: httpx.Client) -> None:
    left, right = fresh_phone(), fresh_phone()
    emails = [fresh_email() for _ in range(5)]
    primary = identify(api, email=emails[0], phoneNumber=left)["primaryContactId"]
    other = identify(api, email=emails[1], phoneNumber=right)["primaryContactId"]
    (own,) = identify(api, email=emails[2], phoneNumber=left)["secondaryContactIds"]
    rights = [identify(api, email=email, phoneNumber=right)["secondaryContactIds"][-1] for email in emails[3:]]
    joined = identify(api, email=emails[1], phoneNumber=left)
    assert joined == contact(primary, emails, [left, right], [other, own, *rights])


def test_the_primarys_values_come_first_then_by_age(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    identify(api, email=email)
    later = [fresh_email() for _ in range(4)]
    identify(api, email=email, phoneNumber=phone)
    answer = [identify(api, email=address, phoneNumber=phone) for address in later][-1]
    assert answer["emails"] == [email, *later]
    assert answer["phoneNumbers"] == [phone]
    assert answer["secondaryContactIds"] == sorted(answer["secondaryContactIds"])
    assert None not in answer["emails"] + answer["phoneNumbers"]


def test_a_number_is_read_as_its_text(api: httpx.Client) -> None:
    digits = int(fresh_phone()[1:])
    first = identify(api, phoneNumber=digits)
    assert first["phoneNumbers"] == [str(digits)]
    assert identify(api, phoneNumber=str(digits)) == first


def test_a_very_long_number_keeps_every_digit(api: httpx.Client) -> None:
    digits = fresh_phone()[1:] + "12345678901234567890"
    response = api.post("/identify", content=b'{"phoneNumber":' + digits.encode() + b"}")
    assert response.status_code == 200, response.text
    assert response.json()["phoneNumbers"] == [digits]


def test_an_email_is_compared_without_regard_to_case(api: httpx.Client) -> None:
    email = fresh_email()
    first = identify(api, email=f"  {email.upper()} ")
    assert first["emails"] == [email]
    assert identify(api, email=email) == first


def test_a_phone_number_is_compared_by_its_digits_and_shown_as_first_seen(api: httpx.Client) -> None:
    digits = fresh_phone()
    pretty = f"{digits[:3]} ({digits[3:6]}) {digits[6:9]}-{digits[9:11]}.{digits[11:]}"
    first = identify(api, phoneNumber=pretty)
    assert first["phoneNumbers"] == [pretty]
    assert identify(api, phoneNumber=digits) == first


def test_the_form_of_an_email_is_not_judged(api: httpx.Client) -> None:
    for text in (fresh("abc"), fresh("no at sign"), fresh("@"), fresh("ü")):
        assert identify(api, email=text)["emails"] == [text]


@pytest.mark.parametrize("empty", [None, "", "   "], ids=repr)
def test_an_empty_half_counts_as_absent(api: httpx.Client, empty: object) -> None:
    email, phone = fresh_email(), fresh_phone()
    assert identify(api, email=email, phoneNumber=empty)["phoneNumbers"] == []
    assert identify(api, email=empty, phoneNumber=phone)["emails"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": None},
        {"email": "", "phoneNumber": ""},
        {"email": None, "phoneNumber": None},
        {"email": "  ", "phoneNumber": "\t"},
        {"other": "x"},
    ],
    ids=str,
)
def test_at_least_one_usable_value_is_needed(api: httpx.Client, body: object) -> None:
    assert_error(api.post("/identify", json=body), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", 7),
        ("email", True),
        ("email", []),
        ("email", {}),
        ("email", ["a@example.org"]),
        ("phoneNumber", True),
        ("phoneNumber", []),
        ("phoneNumber", {}),
        ("phoneNumber", ["1"]),
        ("email", "x" * 321),
        ("phoneNumber", "1" * 65),
        ("email", "a\x00@example.org"),
        ("phoneNumber", "1\x002"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("other", [False, True], ids=["alone", "beside a good value"])
def test_a_value_of_another_kind_or_length_is_refused(
    api: httpx.Client, field: str, value: object, other: bool
) -> None:
    good = {"email": fresh_email(), "phoneNumber": fresh_phone()} if other else {}
    error = assert_error(api.post("/identify", json={**good, field: value}), 400, "INVALID_ARGUMENT")
    violations = [violation for detail in error["details"] for violation in detail.get("fieldViolations", [])]
    named = {violation["field"]: [violation["description"]] for violation in violations}
    assert_names_field(named, field, "phone_number" if field == "phoneNumber" else field)


def test_the_longest_values_are_accepted(api: httpx.Client) -> None:
    email = (fresh("e") + "x" * 320)[:320]
    phone = (fresh_phone() + "1" * 64)[:64]
    answer = identify(api, email=email, phoneNumber=phone)
    assert (answer["emails"], answer["phoneNumbers"]) == ([email], [phone])


@pytest.mark.parametrize("body", [b"null", b"[]", b"7", b'"a@example.org"', b"{", b"", b'[{"email":"a"}]'])
def test_a_body_that_is_no_object_is_refused(api: httpx.Client, body: bytes) -> None:
    assert_error(api.post("/identify", content=body), 400, "INVALID_ARGUMENT")


def test_other_fields_are_ignored(api: httpx.Client) -> None:
    email = fresh_email()
    assert identify(api, email=email, orderId=7, nested={"a": []})["emails"] == [email]


def test_ids_grow_with_age(api: httpx.Client) -> None:
    numbers = [identify(api, email=fresh_email())["primaryContactId"] for _ in range(5)]
    assert numbers == sorted(set(numbers))


def test_texts_come_back_as_they_were_sent(api: httpx.Client) -> None:
    email = f"{fresh('o')}+tag'\"\\ü😀@example.org"
    assert identify(api, email=email)["emails"] == [email]
    assert re.fullmatch(r"[0-9]+", str(identify(api, email=email)["primaryContactId"]))
