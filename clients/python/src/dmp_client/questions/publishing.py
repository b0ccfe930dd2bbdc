"""Many events at once, for whoever keeps them until they are answered, as a file does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from dmp_client.errors import UnavailableError
from dmp_client.http import Request
from dmp_client.publishing import array, compressed
from dmp_client.questions.asked import Question, reader
from dmp_client.verdicts import Verdict, read_all_verdicts


class JudgedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that would be rejected (`errors`), or that is valid but odd (`warnings`). position: in the request."""

    position: int
    event_id: str
    message: str
    errors: Mapping[str, Sequence[str]] = {}
    warnings: Mapping[str, Sequence[str]] = {}


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of events. results: those that would be rejected or are odd."""

    valid: int
    rejected: int
    results: Sequence[JudgedEvent] = ()


def publish(events: Sequence[bytes]) -> Question[list[Verdict]]:
    """`POST /events`: each event as JSON. Repeating it sends the same bytes. The answer lists every event, in order:
    ids that the server cannot read say nothing."""
    body, encoding = compressed(array(events))
    request = Request(
        method="POST",
        path="/events",
        body=body,
        encoding=encoding,
        also_answers=frozenset({422}),
    )

    def read(answer: bytes) -> list[Verdict]:
        verdicts = read_all_verdicts(answer, len(events))
        if verdicts is None:
            raise UnavailableError("the answer is not one of DMP: is something else at this address?")
        return verdicts

    return Question(request, read)


def judge(events: Sequence[bytes]) -> Question[Judgement]:
    """`POST /events:validate`: judges events and stores nothing."""
    return Question(Request(method="POST", path="/events:validate", body=array(events)), reader(Judgement))
