"""A spool in a SQLite file, for several processes at once.

Each process has a name of its own, under which its events lie, and holds a lock on a file of that name while it lives. Whoever finds a name whose lock is free takes its events over. The operating system frees the lock however the
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
from pathlib import Path
from typing import Final

from dmp_client.errors import SpoolError, SpoolFullError
from dmp_client.spool import SpooledEvent

_PAGE_BYTES: Final = 4096
_VERSION: Final = 1
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  event_id TEXT NOT NULL,
  tracked_at REAL NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS event_owner ON event (owner, seq);
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_INSERT: Final = "INSERT INTO event (owner, event_id, tracked_at, body) VALUES (?, ?, ?, ?)"
_NEXT: Final = "SELECT seq, event_id, body, tracked_at FROM event WHERE owner = ? AND seq > ? ORDER BY seq LIMIT ?"


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
        self._locks = path.with_name(path.name + ".owners")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._locks.mkdir(exist_ok=True, mode=0o700)
            self._owner, self._lock = _new_owner(self._locks)
            self._database = self._open(durable)
        except (OSError, sqlite3.DatabaseError) as error:
            raise SpoolError(f"the spool {path} cannot be used: {error}") from error
        self.adopt()

    def _open(self, durable: bool) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10.0)
        try:
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
        try:
            seq = self._database.execute(_INSERT, (self._owner, event_id, time.time(), body)).lastrowid
        except sqlite3.OperationalError as error:
            if _is_full(error):
                raise SpoolFullError(
                    f"the spool {self._path} holds {self._max_bytes} bytes, as much as it may"
                ) from None
            raise SpoolError(f"the spool {self._path} cannot be written: {error}") from error
        assert seq is not None
        self._count += 1
        return seq

    def after(self, seq: int, *, most_events: int, most_bytes: int) -> list[SpooledEvent]:
        taken: list[SpooledEvent] = []
        size = 0
        for row in self._database.execute(_NEXT, (self._owner, seq, most_events)):
            event = SpooledEvent(*row)
            if taken and size + len(event.body) > most_bytes:
                break
            taken.append(event)
            size += len(event.body)
        return taken

    def remove(self, seqs: Sequence[int]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("DELETE FROM event WHERE seq = ?", [(seq,) for seq in seqs])
        self._database.execute("COMMIT")
        self._count -= len(seqs)
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def adopt(self) -> int:
        adopted = 0
        owners = {row[0] for row in self._database.execute("SELECT DISTINCT owner FROM event")}
        owners.update(entry.name for entry in self._locks.iterdir())
        for owner in owners - {self._owner}:
            if (lock := _locked(self._locks / owner)) is not None:
                # Holding its lock, so that no two take over from one.
                cursor = self._database.execute("UPDATE event SET owner = ? WHERE owner = ?", (self._owner, owner))
                adopted += cursor.rowcount
                os.close(lock)
                (self._locks / owner).unlink(missing_ok=True)
        self._count += adopted
        return adopted

    def waiting(self) -> tuple[int, float | None]:
        statement = "SELECT tracked_at FROM event WHERE owner = ? ORDER BY seq LIMIT 1"
        first = self._database.execute(statement, (self._owner,)).fetchone()
        return self._count, None if first is None else first[0]

    def oldest(self) -> int | None:
        found: tuple[int | None] = self._database.execute(
            "SELECT min(seq) FROM event WHERE owner = ?", (self._owner,)
        ).fetchone()
        return found[0]

    def close(self) -> None:
        self._database.close()
        if self._count == 0:
            (self._locks / self._owner).unlink(missing_ok=True)
        os.close(self._lock)

    def abandon(self) -> None:
        # The connection is the parent's: closing it here would take the parent's locks away. It is left alone, as
        # SQLite asks for after a fork. The lock file's descriptor is closed, so that the lock ends with the parent.
        os.close(self._lock)
        _LEFT_ALONE.append(self._database)


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
