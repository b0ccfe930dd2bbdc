"""A spool in a SQLite file, for several processes at once.

Each process has a name of its own, under which its events lie, and holds a lock on a file of that name while it
lives. Whoever finds a name whose lock is free takes its events over. The operating system frees the lock however the
process ends, so nothing has to time out. Two processes that send one event do no harm: the server counts it once.

A commit reaches the operating system, not the disk: events survive the end of the process (`kill -9` too), and the last
moments may be lost when the machine loses power. `durable=True` waits for the disk on each event.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from dmp_client.errors import SpoolError, SpoolFullError
from dmp_client.spool import SpooledEvent

_VERSION: Final = 1
_PAGE_BYTES: Final = 1024
"""An event fills part of a page, and a commit writes whole pages: small ones cost half as much as the usual 4096."""
_TIDY_AFTER: Final = 2000
"""Events after whose removal the log is written back into the file."""
_EACH: Final = 1 << 40
"""A process has the numbers from its own times this on, so one key finds its events in their order."""
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS owner (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS event (
  seq INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL,
  tracked_at REAL NOT NULL,
  body BLOB NOT NULL
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_INSERT: Final = "INSERT INTO event (seq, event_id, tracked_at, body) VALUES (?, ?, ?, ?)"
_NEXT: Final = "SELECT seq, event_id, body, tracked_at FROM event WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?"
_MINE: Final = "SELECT min(seq), count(*) FROM event WHERE seq >= ? AND seq < ?"
_OLDEST: Final = "SELECT seq, tracked_at FROM event WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT 1"


def default_spool_path(url: str) -> Path:
    """The spool for a gateway's address in the user's state directory (`XDG_STATE_HOME`, else `~/.local/state`)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    name = "".join(character if character.isalnum() else "-" for character in url.lower()).strip("-")
    return Path(state) / "dmp" / f"{name}.spool"


class DiskSpool:
    """Events in the SQLite file `path`, made if it is not there, readable by this user only.

    max_bytes: of the file. One spool object belongs to one process and one thread at a time.
    Raises SpoolError if the file cannot be used.
    """

    def __init__(self, path: Path, *, max_bytes: int, durable: bool = False) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._count = 0
        self._removed = 0
        self._locks = path.with_name(path.name + ".owners")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._locks.mkdir(exist_ok=True, mode=0o700)
            with ExitStack() as opened:
                self._owner, self._lock = _new_owner(self._locks)
                opened.callback(os.close, self._lock)
                self._database = self._open(durable)
                opened.callback(self._database.close)
                self._inserting = self._database.cursor()  # a new one for each event costs a microsecond
                self._reading = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
                opened.callback(self._reading.close)
                named = self._database.execute("INSERT INTO owner (name) VALUES (?)", (self._owner,))
                self._first = self._next = (named.lastrowid or 0) * _EACH
                self.adopt()
                opened.pop_all()
        except (OSError, sqlite3.DatabaseError) as error:
            raise SpoolError(f"the spool {path} cannot be used: {error}") from error

    def _open(self, durable: bool) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10.0)
        try:
            database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            database.execute("PRAGMA journal_mode = WAL").fetchone()
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise SpoolError(f"the spool {self._path} is of another release (version {version})")
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            database.executescript(_SCHEMA)
            pages = database.execute("PRAGMA page_size").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {max(self._max_bytes // pages, 16)}")
            # Writing the log back takes the disk's time; the delivery does it, not who tracks.
            database.execute("PRAGMA wal_autocheckpoint = 0")
        except BaseException:
            database.close()
            raise
        return database

    def append(self, event_id: str, body: bytes) -> int:
        seq = self._next
        try:
            self._inserting.execute(_INSERT, (seq, event_id, time.time(), body))
        except sqlite3.OperationalError as error:
            if _is_full(error):
                text = f"the spool {self._path} holds {self._max_bytes} bytes, as much as it may"
                raise SpoolFullError(text) from None
            raise SpoolError(f"the spool {self._path} cannot be written: {error}") from error
        self._next = seq + 1
        self._count += 1
        return seq

    def after(self, seq: int, *, most_events: int, most_bytes: int) -> list[SpooledEvent]:
        taken: list[SpooledEvent] = []
        size = 0
        for row in self._reading.execute(_NEXT, (max(seq, self._first - 1), self._first + _EACH, most_events)):
            event = SpooledEvent(*row)
            if taken and size + len(event.body) > most_bytes:
                break
            taken.append(event)
            size += len(event.body)
        return taken

    def remove(self, seqs: Sequence[int]) -> None:
        # By identity, though they are most often neighbours.
        self._database.execute(f"DELETE FROM event WHERE seq IN ({','.join(map(str, map(int, seqs)))})")  # noqa: S608
        self._count -= len(seqs)
        self._removed += len(seqs)

    def tidy(self) -> None:
        if self._removed >= _TIDY_AFTER:
            self._removed = 0
            self._reading.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def adopt(self) -> int:
        adopted = 0
        owners = {name: number for number, name in self._database.execute("SELECT number, name FROM owner")}
        for name in (owners.keys() | {entry.name for entry in self._locks.iterdir()}) - {self._owner}:
            lock = _locked(self._locks / name)
            if lock is None:
                continue
            # Holding its lock, so that no two take over from one.
            if name in owners:
                adopted += self._take_over(owners[name])
            os.close(lock)
            (self._locks / name).unlink(missing_ok=True)
        self._count += adopted
        return adopted

    def _take_over(self, number: int) -> int:
        first = number * _EACH
        self._database.execute("BEGIN IMMEDIATE")
        oldest, count = self._database.execute(_MINE, (first, first + _EACH)).fetchone()
        if count:
            moved = "UPDATE event SET seq = seq + ? WHERE seq >= ? AND seq < ?"
            self._database.execute(moved, (self._next - oldest, first, first + _EACH))
        self._database.execute("DELETE FROM owner WHERE number = ?", (number,))
        self._database.execute("COMMIT")
        newest = self._database.execute("SELECT max(seq) FROM event WHERE seq < ?", (self._first + _EACH,)).fetchone()[
            0
        ]
        self._next = max(self._next, (newest or 0) + 1)
        return int(count)

    def waiting(self) -> tuple[int, float | None]:
        first = self._database.execute(_OLDEST, (self._first, self._first + _EACH)).fetchone()
        return self._count, None if first is None else first[1]

    def oldest(self) -> int | None:
        first = self._database.execute(_OLDEST, (self._first, self._first + _EACH)).fetchone()
        return None if first is None else int(first[0])

    def newest(self) -> int:
        return self._next - 1

    def close(self) -> None:
        if self._count == 0:
            self._database.execute("DELETE FROM owner WHERE name = ?", (self._owner,))
            (self._locks / self._owner).unlink(missing_ok=True)
        self._reading.close()
        self._database.close()
        os.close(self._lock)

    def abandon(self) -> None:
        # The connection is the parent's: closing it here would take the parent's locks away. It is left alone, as
        # SQLite asks for after a fork. The lock file's descriptor is closed, so that the lock ends with the parent.
        os.close(self._lock)
        _LEFT_ALONE.extend((self._reading, self._database))


_LEFT_ALONE: Final[list[sqlite3.Connection]] = []
"""Connections that came with a fork and must never be closed in the child."""


def _new_owner(directory: Path) -> tuple[str, int]:
    """A name that nobody else has, and the descriptor that holds its lock."""
    while True:
        owner = secrets.token_hex(8)
        lock = _locked(directory / owner)
        if lock is None:
            continue
        # Somebody who tidied up may have locked and removed the file before it was locked here.
        if (directory / owner).exists() and os.path.samestat(os.fstat(lock), (directory / owner).stat()):
            return owner, lock
        os.close(lock)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock on a file; None if another process holds it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return descriptor


def _is_full(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
