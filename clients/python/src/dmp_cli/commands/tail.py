"""`dmp tail`: domain events as they are published, each at least once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
import typer

from dmp_cli.failures import CommandError, ExitCode
from dmp_cli.session import Session, command

if TYPE_CHECKING:
    from dmp_cli.domain_events import Cursor, EventStream, Piece

_AT_ONCE: Final = 500
_WAIT_SECONDS: Final = 5.0
_Answer = TypeVar("_Answer")
_WHERE: Final = (
    "Give --redis or DMP_REDIS_URL what the services have. Beside `make run`: set -a; . .data/endpoints.env; set +a"
)
_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "tail")
    def tail(
        session: Session,
        redis: Annotated[
            str | None,
            typer.Option(envvar="DMP_REDIS_URL", metavar="URL", help="Where the services publish.", show_default=False),
        ] = None,
        cursor: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Keep the place there, and go on from it the next time.")
        ] = None,
        new: Annotated[bool, typer.Option("--new", help="Without a place: only what comes from now on.")] = False,
        kind: Annotated[list[str] | None, typer.Option(help="Only this kind, such as ProfilesMerged.")] = None,
        stop: Annotated[bool, typer.Option("--stop", help="End when all there is was read.")] = False,
        patience: Annotated[
            float, typer.Option(min=0, metavar="SECONDS", help="How long to try while there is no connection.")
        ] = 300.0,
    ) -> int:
        """Follows domain events from a cursor. Goes on after a disconnect.

        An event is shown at least once, with the same id if twice. If some went before they were read, it says so, and
        with --stop the exit code is 1.
        """
        follow = _Tail(session, _finding(redis), cursor, frozenset(kind or ()), patience)
        follow.begin(only_new=new)
        while True:
            if not follow.step():
                if stop:
                    break
                follow.wait()
        return ExitCode.PARTLY if follow.has_gap else ExitCode.DONE


@dataclass(slots=True)
class _Tail:
    """One run. find: makes the stream, of the server that has it now. place: everything before it was shown."""

    session: Session
    find: Callable[[], EventStream]
    file: Path | None
    kinds: frozenset[str]
    patience: float
    place: Cursor | None = None
    has_gap: bool = False
    stream: EventStream | None = None

    def begin(self, *, only_new: bool) -> None:
        """Finds the place: that of the file, else the beginning or the end of the stream."""
        self.place = _load(self.file)
        if self.place is None:
            self.place = self._trying(lambda stream: stream.end() if only_new else stream.beginning())
            self._save()

    def step(self) -> bool:
        """Shows what there is; whether there was something."""
        place = self.place
        assert place is not None
        piece = self._trying(lambda stream: stream.read(place, _AT_ONCE))
        if piece.gap is None and not piece.events:
            return False
        self._show(piece)
        self.place = piece.after
        self._save()
        return True

    def wait(self) -> None:
        """Returns when there is more, or after a little."""
        place = self.place
        assert place is not None
        self._trying(lambda stream: stream.wait(place, _WAIT_SECONDS))

    def _show(self, piece: Piece) -> None:
        out = self.session.out
        if piece.gap is not None:
            self.has_gap = True
            lost = piece.gap.lost
            what = "the stream was lost and begins again" if lost is None else f"{lost:,} events"
            out.error([f"gap: {what}; what was not read before is missing here"])
            if out.json:
                out.value({"gap": {"lost": lost}})
        for event in piece.events:
            if self.kinds and event.kind not in self.kinds:
                continue
            if out.json:
                out.value(event)
            else:
                out.line(f"{event.occurred_at}  {event.kind}  {bytes(event.payload).decode()}")

    def _forget_stream(self) -> None:
        """Lets the next try look for the server again: another may have taken over."""
        if self.stream is not None:
            self.stream.redis.close()
            self.stream = None

    def _save(self) -> None:
        """Remembers the place after what is before it was shown: a crash in between shows some twice."""
        if self.file is not None:
            try:
                temporary = self.file.with_name(self.file.name + ".new")
                temporary.write_bytes(msgspec.json.encode(self.place))
                temporary.replace(self.file)
            except OSError as error:
                raise CommandError(f"{self.file} cannot be written: {error.strerror}") from None

    def _trying(self, ask: Callable[[EventStream], _Answer]) -> _Answer:
        """What was asked for, over connections that break and servers that take over. Raises CommandError when patience
        is over."""
        from redis import AuthenticationError, ConnectionError, RedisError, TimeoutError
        from redis.exceptions import AskError, ClusterDownError, TryAgainError

        ends = time.monotonic() + self.patience
        for failures in itertools.count():
            try:
                if self.stream is None:
                    self.stream = self.find()
                return ask(self.stream)
            except AuthenticationError as error:
                raise CommandError(f"Redis refuses: {error}", hint=_WHERE, code=ExitCode.NOT_ALLOWED) from None
            except (ConnectionError, TimeoutError, AskError, ClusterDownError, TryAgainError) as error:
                self._forget_stream()
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                if time.monotonic() + pause > ends:
                    raise CommandError(
                        f"no connection to the stream: {error}", hint=_WHERE, code=ExitCode.UNAVAILABLE
                    ) from None
                if failures == 0:
                    self.session.out.status("no connection, trying again; nothing is skipped")
                time.sleep(pause)  # before it tries to connect again
            except RedisError as error:
                raise CommandError(f"Redis refuses: {error}", hint=_WHERE, code=ExitCode.REFUSED) from None
        raise AssertionError  # it counts for ever


def _load(file: Path | None) -> Cursor | None:
    """The place of a run before. Raises CommandError for a file that holds none."""
    from dmp_cli.domain_events import Cursor

    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise CommandError(f"{file} holds no place", hint="Name another file, or delete it to begin again.") from None


def _finding(url: str | None) -> Callable[[], EventStream]:
    """What makes the stream, over a connection to the server that has it."""
    if not url:
        raise CommandError("there is no address of a stream", hint=_WHERE)
    try:
        from redis import Redis

        from dmp_cli.domain_events import STREAM, EventStream
        from dmp_cli.redis_servers import server_of
    except ModuleNotFoundError:
        raise CommandError("tail needs a client of Redis", hint="pip install 'dmp-client[tail]'") from None

    def find() -> EventStream:
        try:
            server = server_of(url, STREAM)
            connection = Redis.from_url(
                server, decode_responses=True, protocol=2, socket_timeout=_WAIT_SECONDS * 3, socket_connect_timeout=3.0
            )
        except ValueError as error:
            raise CommandError(f"the address of the stream is none: {error}", hint=_WHERE) from None
        return EventStream(connection)

    return find
