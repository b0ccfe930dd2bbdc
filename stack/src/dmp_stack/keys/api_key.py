"""What an API key is, and which ones there may be. Nothing here reads or writes."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

SCOPES: Final = ("ingest", "read", "people", "admin")
"""What a key may be allowed; none includes another. `dmp.access.v1.Scope` says what each opens."""

MAX_KEYS: Final = 1000
MAX_ORIGINS: Final = 100
MAX_RATE: Final = 4_000_000_000
"""Limits of the gateway's own counters, which have 32 bits."""

_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_CHARACTERS: Final = 32  # 190 bits: nobody guesses one, so a fast digest hides it as well as a slow one
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class KeysError(Exception):
    """The keys cannot be read, or not be changed as asked. The text is for the person at the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without the key: whoever reads this cannot call.

    id: names this one key; a name may have several, while one takes another's place.
    name: of the caller, as limits, the audit and services know it.
    sha256: of the key, in hexadecimal.
    origins: a public key's web origins; empty for a secret key.
    expires_at, revoked_at: from when on it is refused; None for never.
    requests_per_second, bytes_per_second: of all requests of this name together; None for no limit.
    address_requests_per_second, address_bytes_per_second: the same for each address; of public keys only.
    """

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: datetime
    origins: tuple[str, ...] = ()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    requests_per_second: int | None = None
    bytes_per_second: int | None = None
    address_requests_per_second: int | None = None
    address_bytes_per_second: int | None = None

    @property
    def public(self) -> bool:
        """Whether it stands in web pages, where everybody can read it."""
        return bool(self.origins)

    def usable(self, now: datetime) -> bool:
        """Whether a request with it is let in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def generate(public: bool) -> str:
    """A new key. Its first letters say what it is, for people and for tools that look for leaked secrets."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))
    return f"dmp_{'public' if public else 'secret'}_{secret}"


def digest(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_id() -> str:
    """An id for a key: short, because people type it."""
    return f"k_{secrets.token_hex(4)}"


def now() -> datetime:
    """The time, in whole seconds, as the keys file has it."""
    return datetime.now(UTC).replace(microsecond=0)


def problems(key: ApiKey) -> list[str]:
    """Everything that is wrong with a key, in sentences."""
    found = []
    if not _NAME.fullmatch(key.name):
        found.append(f"the name {key.name!r} must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or a digit")
    if not _DIGEST.fullmatch(key.sha256):
        found.append("sha256 must be 64 digits, in hexadecimal")
    if not key.scopes or any(scope not in SCOPES for scope in key.scopes):
        found.append(f"scopes must be some of {', '.join(SCOPES)}")
    if len(key.origins) > MAX_ORIGINS or any(not _ORIGIN.fullmatch(origin) for origin in key.origins):
        found.append(f"origins must be at most {MAX_ORIGINS}, each as browsers send it, such as https://shop.example")
    if key.public and key.scopes != ("ingest",):
        found.append("a key with origins stands in pages that everybody can read: its only scope is ingest")
    if not key.public and (key.address_requests_per_second or key.address_bytes_per_second):
        found.append("limits for each address are for keys with origins")
    rates = (
        key.requests_per_second,
        key.bytes_per_second,
        key.address_requests_per_second,
        key.address_bytes_per_second,
    )
    if any(rate is not None and not 1 <= rate <= MAX_RATE for rate in rates):
        found.append(f"a limit must be between 1 and {MAX_RATE:,} a second")
    return found


def check(keys: Iterable[ApiKey]) -> None:
    """Raises KeysError, naming each key and what is wrong with it; also if there are too many."""
    found = list(keys)
    wrong = [f"{key.id}: {problem}" for key in found for problem in problems(key)]
    if len(found) > MAX_KEYS:
        wrong.append(f"there may be at most {MAX_KEYS} keys; `prune` takes out those that nobody can use any more")
    if len({key.sha256 for key in found}) < len(found) or len({key.id for key in found}) < len(found):
        wrong.append("two entries are the same key")
    if wrong:
        raise KeysError("; ".join(wrong))
