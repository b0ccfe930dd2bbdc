"""Several batches as one: their events one batch after the other, each as it was."""

from __future__ import annotations

from dmp_identity.domain.event_batch import EventBatch, accepted_at_us, joined
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from tests.identity.policies import packaged_policy

PARSER = IdentifierParser(packaged_policy())


def identifiers(*texts: str) -> list[ParsedIdentifier]:
    """E-mails."""
    return [parsed for text in texts if (parsed := PARSER.parse("email", text)) is not None]


FIRST = EventBatch(
    batch_id="b1",
    accepted_at_us=100,
    event_ids=["e1", "e2"],
    occurred_at_us=[11, 12],
    types=["click", "view"],
    sources=["web", "app"],
    identifiers=[identifiers("ann@x"), []],
)
SECOND = EventBatch(
    batch_id="b2",
    accepted_at_us=200,
    event_ids=["e3"],
    occurred_at_us=[13],
    types=["purchase"],
    sources=["crm"],
    identifiers=[identifiers("bob@x", "rob@x")],
)


def test_one_batch_is_itself() -> None:
    assert joined([FIRST]) is FIRST


def test_batches_are_joined_in_order_under_the_id_and_time_of_the_first() -> None:
    assert joined([FIRST, SECOND]) == EventBatch(
        batch_id="b1",
        accepted_at_us=100,
        event_ids=["e1", "e2", "e3"],
        occurred_at_us=[11, 12, 13],
        types=["click", "view", "purchase"],
        sources=["web", "app", "crm"],
        identifiers=[identifiers("ann@x"), [], identifiers("bob@x", "rob@x")],
    )


def test_every_event_keeps_the_time_at_which_its_batch_was_accepted() -> None:
    assert accepted_at_us([FIRST, SECOND]) == [100, 100, 200]
    assert accepted_at_us([SECOND]) == [200]
