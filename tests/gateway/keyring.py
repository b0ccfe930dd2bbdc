"""API keys for tests: a directory of them, and the plain texts that nobody else has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from dmp_stack.keys.api_key import SCOPES, ApiKey, digest, generate, new_id, now
from dmp_stack.keys.keys_file import KeysDirectory
from tests.conditions import wait_until

ORIGIN = "https://shop.example"


@dataclass
class Keyring:
    """Makes keys in a directory; `texts` has each by its name."""

    path: Path
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> KeysDirectory:
        return KeysDirectory(path=self.path)

    def add(self, name: str, *scopes: str, public: bool = False, **settings: Any) -> str:  # noqa: ANN401 -- fields
        """A new key of this name; public ones are for ORIGIN."""
        text = generate(public)
        key = ApiKey(
            id=new_id(),
            name=name,
            sha256=digest(text),
            scopes=scopes,
            created_at=now(),
            origins=(ORIGIN,) if public else (),
        )
        self.directory.change(lambda keys: ([*keys, replace(key, **settings)], None))
        self.texts[name] = text
        return text

    def revoke(self, name: str) -> None:
        """Refuses the keys of a name from now on."""
        self.directory.change(
            lambda keys: ([replace(key, revoked_at=now()) if key.name == name else key for key in keys], None)
        )

    def bearer(self, name: str) -> dict[str, str]:
        """The header that presents a key."""
        return {"authorization": f"Bearer {self.texts[name]}"}


def full(path: Path) -> Keyring:
    """A key for each scope, one for all of them, a revoked, an expired and a public one."""
    keyring = Keyring(path=path)
    for scope in SCOPES:
        keyring.add(scope, scope)
    keyring.add("everything", *SCOPES)
    keyring.add("revoked", *SCOPES, revoked_at=now())
    keyring.add("expired", *SCOPES, expires_at=now() - timedelta(seconds=1))
    keyring.add("page", "ingest", public=True)
    return keyring


def post(client: httpx.Client, headers: dict[str, str], path: str = "/events") -> httpx.Response:
    """Asks for what needs the scope `ingest`."""
    return client.post(path, content=b"{}", headers=headers)


def wait_for_status(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    """Returns once the gateway has taken in what was written of a key."""
    wait_until(lambda: post(client, headers).status_code == status, f"{status} for this key")
