"""CONTRACT 3: contacts are a view of the same graph that events build."""

from __future__ import annotations

import httpx

from tests.contracts.answers import identify, match, person_of, stored, user
from tests.contracts.payloads import campaign_event, fresh, fresh_email, fresh_phone, identified_event


def test_an_email_known_from_events_is_the_same_person(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    profile = person_of(api, identified_event(identifiers={"email": email}))
    identify(api, email=email, phoneNumber=phone)
    assert match(api, "phone", phone)["internal_user_id"] == profile
    assert person_of(api, identified_event(identifiers={"phone": phone})) == profile
    assert user(api, profile)["identifiers"]["phones"] == [phone]


def test_a_contact_is_a_person_that_events_find(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    identify(api, email=email, phoneNumber=phone)
    profile = match(api, "email", email)["internal_user_id"]
    assert match(api, "phone", phone)["internal_user_id"] == profile
    assert person_of(api, identified_event(identifiers={"email": email})) == profile
    assert person_of(api, identified_event(identifiers={"phone": phone, "user_id": fresh("u")})) == profile


def test_contacts_of_one_person_are_one_contact(api: httpx.Client) -> None:
    name, emails = fresh("u"), [fresh_email(), fresh_email()]
    for email in emails:
        stored(api, campaign_event(user_id=name, identifiers={"email": email}))
    first = identify(api, email=emails[0])
    second = identify(api, email=emails[1])
    assert second["primaryContactId"] == first["primaryContactId"]
    assert second["emails"] == emails
    assert identify(api, email=emails[0]) == second


def test_an_event_that_joins_two_people_joins_their_contacts(api: httpx.Client) -> None:
    emails = [fresh_email(), fresh_email()]
    older, newer = (identify(api, email=email)["primaryContactId"] for email in emails)
    name = fresh("u")
    for email in emails:
        stored(api, campaign_event(user_id=name, identifiers={"email": email}))
    for email in emails:
        answer = identify(api, email=email)
        assert answer["primaryContactId"] == older
        assert answer["emails"] == emails
        assert answer["secondaryContactIds"] == [newer]


def test_a_merge_by_hand_joins_the_contacts(api: httpx.Client) -> None:
    emails = [fresh_email(), fresh_email()]
    older, newer = (identify(api, email=email)["primaryContactId"] for email in emails)
    profiles = [match(api, "email", email)["internal_user_id"] for email in emails]
    assert api.post("/merge", json={"internal_user_ids": profiles}).status_code == 200
    answer = identify(api, email=emails[1])
    assert (answer["primaryContactId"], answer["secondaryContactIds"]) == (older, [newer])


def test_joined_contacts_are_one_profile(api: httpx.Client) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    for email, phone in zip(emails, phones, strict=True):
        identify(api, email=email, phoneNumber=phone)
    older, newer = (match(api, "email", email)["internal_user_id"] for email in emails)
    assert older != newer
    identify(api, email=emails[0], phoneNumber=phones[1])
    shown = user(api, newer)
    assert shown["internal_user_id"] == older
    assert shown["merged_ids"] == [newer]
    assert (shown["identifiers"]["emails"], shown["identifiers"]["phones"]) == (emails, phones)


def test_a_contact_does_not_appear_on_the_timeline(api: httpx.Client) -> None:
    email = fresh_email()
    identify(api, email=email)
    assert user(api, match(api, "email", email)["internal_user_id"])["events"] == []
