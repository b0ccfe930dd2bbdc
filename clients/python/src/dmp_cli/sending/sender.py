"""Sends the events of a file, batch by batch; the place is remembered after each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from dmp_cli.sending.records import Position, Record
from dmp_client import RefusedError, VerdictKind

if TYPE_CHECKING:
    from dmp_client import DmpClient

_JUDGED_BYTES: Final = 900_000
"""Of one question to the validation, which takes a mebibyte."""
ODD: Final = "odd"
VALID: Final = "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one event. kind: a verdict, `valid` or `odd`. problems: by field, if it is rejected or odd."""

    record: Record
    kind: str
    problems: dict[str, list[str]] = field(default_factory=dict)


class Send(Protocol):
    """Sends or judges a batch of records that have a body."""

    def __call__(self, batch: Sequence[Record]) -> list[Told]: ...


def batches(records: Iterable[Record], *, most_events: int, most_bytes: int) -> Iterator[list[Record]]:
    """Records in groups. Records without a body count as nothing."""
    batch: list[Record] = []
    size = 0
    for record in records:
        length = len(record.body or b"")
        if batch and (len(batch) >= most_events or size + length > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length + 1
    if batch:
        yield batch


def send_all(
    records: Iterable[Record],
    send: Send,
    *,
    most_events: int,
    most_bytes: int = _JUDGED_BYTES,
    answered: Callable[[list[Told], Position], None],
) -> None:
    """Sends everything. answered: called after each batch with what became of it, in order, and the place behind it."""
    for batch in batches(records, most_events=most_events, most_bytes=most_bytes):
        good = [record for record in batch if record.body is not None]
        told = {id(each.record): each for each in (send(good) if good else ())}
        answered([told.get(id(record)) or _unreadable(record) for record in batch], batch[-1].after)


def publisher(client: DmpClient) -> Send:
    """Sends events, and halves what is too much for one request."""

    def send(batch: Sequence[Record]) -> list[Told]:
        try:
            verdicts = client.publish([record.body or b"" for record in batch])
        except RefusedError as error:
            if error.http_status != 413:
                raise
            if len(batch) == 1:
                return [_rejected(batch[0], {"event": [str(error)]})]
            middle = len(batch) // 2
            return send(batch[:middle]) + send(batch[middle:])
        return [
            Told(
                record=record,
                kind=verdict.kind.value,
                problems={name: list(problems) for name, problems in verdict.errors.items()},
            )
            for record, verdict in zip(batch, verdicts, strict=True)
        ]

    return send


def judge(client: DmpClient) -> Send:
    """Asks what would become of events; nothing is stored."""

    def send(batch: Sequence[Record]) -> list[Told]:
        judgement = client.judge([record.body or b"" for record in batch])
        told = [Told(record=record, kind=VALID) for record in batch]
        for result in judgement.results:
            kind = VerdictKind.REJECTED.value if result.errors else ODD
            problems = {name: list(texts) for name, texts in (result.errors or result.warnings).items()}
            told[result.position] = Told(record=batch[result.position], kind=kind, problems=problems)
        return told

    return send


def _unreadable(record: Record) -> Told:
    return _rejected(record, {name: list(texts) for name, texts in record.problem.items()})


def _rejected(record: Record, problems: dict[str, list[str]]) -> Told:
    return Told(record=record, kind=VerdictKind.REJECTED.value, problems=problems)
