"""Certificates of the inside: read from files, read again when the files change, never half of a new set.

Each service has a certificate and a key of its own, and all have the certificate of one authority. Whoever renews them
moves new files over the old ones, or swaps the folder that holds them; nobody is told.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

_LOG: Final = logging.getLogger(__name__)
_LOOKS_APART_SECONDS: Final = 1.0
_MOST_BYTES: Final = 1 << 20

_State: TypeAlias = tuple[tuple[int, int, int], ...]


class CertificatesUnusableError(Exception):
    """The files hold no certificate with its key and its authority. The text says which kind of problem it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Three PEM files.

    certificate: the service's own, followed by those between it and the authority, if there are any.
    key: its private key. authority: the certificates of those that this service believes.
    """

    certificate: Path
    key: Path
    authority: Path

    def read(self) -> CertificateSet:
        """What is in them. Raises CertificatesUnusableError if that is no set, as with another's key."""
        try:
            before = _state(self)
            found = CertificateSet(
                certificate=_bytes(self.certificate), key=_bytes(self.key), authority=_bytes(self.authority)
            )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            context.load_verify_locations(self.authority)
        except ssl.SSLError as error:
            raise CertificatesUnusableError(f"they do not fit together ({error.reason or 'not PEM'})") from error
        except (OSError, ValueError) as error:
            raise CertificatesUnusableError(f"one cannot be read ({type(error).__name__})") from error
        if before != _state(self):
            raise CertificatesUnusableError("they are being replaced")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSet:
    """A certificate, its key, and the authority, in PEM. `repr` shows none of it."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    authority: bytes = field(repr=False)


class Certificates:
    """The set of now: that of the files, or the last good one while they hold none. May be used from any thread."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises CertificatesUnusableError."""
        self._files = files
        self._lock = threading.Lock()
        self._state = _state_or_none(files)
        self._set = files.read()
        self._looked = time.monotonic()
        self._warned = self._state

    def current(self) -> CertificateSet:
        """The set of now, the same object until it changes. Looks at the files once a second at most."""
        with self._lock:
            if time.monotonic() - self._looked >= _LOOKS_APART_SECONDS:
                self._look()
            return self._set

    def _look(self) -> None:
        self._looked = time.monotonic()
        state = _state_or_none(self._files)
        if state == self._state:
            return
        try:
            self._set = self._files.read()
        except CertificatesUnusableError as error:
            # Perhaps half of them are there: looked at again, but said once.
            if state != self._warned:
                _LOG.warning("new certificates are not used", extra={"problem": str(error)})
            self._warned = state
            return
        self._state = self._warned = state
        _LOG.info("new certificates are used")


def _state(files: CertificateFiles) -> _State:
    """What changes with the files: which they are, how long, since when."""
    found = [path.stat() for path in (files.certificate, files.key, files.authority)]
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)


def _state_or_none(files: CertificateFiles) -> _State | None:
    try:
        return _state(files)
    except OSError:
        return None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError("too large")
    return data


def _no_password() -> str:
    """Instead of a question at the terminal, for which a service has nobody."""
    raise ValueError("the key needs a password")
