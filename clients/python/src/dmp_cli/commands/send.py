"""`dmp send`: the events of files, each counted once however often the command is repeated."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer

from dmp_cli.failures import CommandError, ExitCode
from dmp_cli.progress import Show, drawing, in_words
from dmp_cli.sending.files import STDIN, Form, Reading, records, size_of
from dmp_cli.sending.mapping import ColumnMapping
from dmp_cli.sending.place import Place, find_place
from dmp_cli.sending.records import Position
from dmp_cli.sending.sender import ODD, VALID, Told, judge, publisher, send_all
from dmp_cli.session import Session, command
from dmp_client import DmpError, VerdictKind

_SENT = tuple(kind.value for kind in VerdictKind if kind is not VerdictKind.EXPIRED)
_JUDGED = (VALID, ODD, VerdictKind.REJECTED.value)
_BAD = (VerdictKind.REJECTED.value, VerdictKind.CONFLICT.value)


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "send")
    def send(
        session: Session,
        files: Annotated[
            list[str],
            typer.Argument(metavar="FILE...", help="NDJSON, CSV, TSV or Parquet, also gzip; - is stdin."),
        ],
        form: Annotated[Form | None, typer.Option("--format", help="Instead of what the name says.")] = None,
        mapping: Annotated[
            list[str] | None,
            typer.Option(
                "--map",
                metavar="COLUMN=FIELD",
                help="CSV, Parquet: such as mail=identifiers.email, "
                "price=metadata.price:number. Columns named as fields need none.",
            ),
        ] = None,
        source: Annotated[str | None, typer.Option(help="The source of events that name none.")] = None,
        batch: Annotated[int, typer.Option(min=1, max=10_000, help="Events in one request.")] = 1000,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only judge: by the server's own rules.")] = False,
        rejects: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Write rejected events there, with their errors.")
        ] = None,
        restart: Annotated[bool, typer.Option("--restart", help="From the beginning, not where it ended.")] = False,
        patience: Annotated[
            float, typer.Option(min=0, metavar="SECONDS", help="How long to try while DMP does not answer.")
        ] = 300.0,
    ) -> int:
        """Sends the events of files; each counts once.

        Repeat the command after a crash: it goes on where it was, and nothing counts twice. Exit code 1 if events were
        rejected.
        """
        reading = Reading(
            mapping=ColumnMapping(mapping or ()),
            note=session.out.status,
            form=form,
            source=source or session.settings.source,
        )
        client = session.client(timeout_seconds=max(patience, 1.0), patient=True)
        sender = judge(client) if dry_run else publisher(client)
        with ExitStack() as opened:
            run = _Run(session, sender, reading, batch, dry_run, restart, _rejects_file(rejects, opened))
            for file in files:
                run.file(file)
        return run.end()


@dataclass(slots=True)
class _Run:
    """One run over all files."""

    session: Session
    send: Any
    reading: Reading
    batch: int
    dry_run: bool
    restart: bool
    rejects: IO[bytes] | None
    counts: Counter[str] = field(default_factory=Counter)
    shown_problems: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    new: int = 0

    def file(self, file: str) -> None:
        """Sends one file."""
        if file != STDIN and not Path(file).is_file():
            raise CommandError(f"there is no file {file}", hint="Name files, or - for stdin.")
        resumable = file != STDIN and not self.dry_run
        place = find_place(file, self.session.settings.url, restart=self.restart) if resumable else None
        start = Position() if place is None else place.position
        if place is not None and start.number:
            self.session.out.status(f"{file}: goes on behind line {start.number} (--restart begins again)")
            self.counts.update(place.counts)
        own = Counter(place.counts if place is not None else {})
        with drawing(self.session.out, Path(file).name, size_of(file)) as show:
            try:
                send_all(
                    records(file, self.reading, start),
                    self.send,
                    most_events=min(self.batch, 5000) if self.dry_run else self.batch,
                    answered=lambda told, after: self.answered(file, told, after, place, own, show),
                )
            except DmpError:
                if resumable:
                    self.session.out.status("What was answered is done. Repeat the command: it goes on there.")
                raise
        if place is not None:
            place.forget()

    def answered(
        self, file: str, told: Sequence[Told], after: Position, place: Place | None, own: Counter[str], show: Show
    ) -> None:
        """Counts a batch and remembers the place behind it."""
        for each in told:
            own[each.kind] += 1
            self.counts[each.kind] += 1
            if each.kind in _BAD or each.kind == ODD:
                self.refused(file, each)
        self.new += len(told)
        if self.rejects is not None:
            self.rejects.flush()  # before the place: a crash in between writes some twice, and loses none
        if place is not None:
            place.position, place.counts = after, dict(own)
            place.save()
        show(after.offset, self.counts, self.new / max(time.monotonic() - self.began, 0.001))

    def refused(self, file: str, told: Told) -> None:
        """Keeps what was rejected, and remembers why for the summary."""
        for name, problems in told.problems.items():
            self.shown_problems[f"{name} {problems[0]}"] += 1
        if told.kind == VerdictKind.CONFLICT.value:
            self.shown_problems["event_id has another event already, which stands"] += 1
        if self.rejects is not None and told.kind in _BAD:
            line = {
                "file": file,
                "line": told.record.place,
                "event_id": told.record.event_id,
                "verdict": told.kind,
                "errors": told.problems,
                "event": _event_value(told.record.raw),
            }
            self.rejects.write(msgspec.json.encode(line) + b"\n")

    def end(self) -> int:
        """The summary, and the exit code."""
        out = self.session.out
        kinds = _JUDGED if self.dry_run else _SENT
        counts = {kind: self.counts[kind] for kind in kinds}
        if out.json:
            out.value({"dry_run": self.dry_run, **counts, "problems": dict(self.shown_problems.most_common(20))})
        else:
            total = sum(counts.values())
            words = in_words(counts) if total else "nothing was in it"
            out.line(f"{'judged' if self.dry_run else 'sent'} {total:,} {'event' if total == 1 else 'events'}: {words}")
            for problem, count in self.shown_problems.most_common(5):
                out.status(f"  {count:,} x {problem}")
        return ExitCode.PARTLY if any(self.counts[kind] for kind in _BAD) else ExitCode.DONE


def _rejects_file(path: Path | None, opened: ExitStack) -> IO[bytes] | None:
    if path is None:
        return None
    try:
        return opened.enter_context(path.open("ab"))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def _event_value(raw: bytes) -> msgspec.Raw | str:
    """The event as it stood; as a text if it is no JSON."""
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw.decode(errors="replace")
    return msgspec.Raw(raw)
