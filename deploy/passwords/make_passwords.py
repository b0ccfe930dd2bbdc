"""Makes the passwords of PostgreSQL and Valkey that nobody has chosen, and gives each container what it needs of them.

    python make_passwords.py DIRECTORY

A password that a variable names is taken; any other is made once, and kept in `DIRECTORY/kept`. Each of the other
folders is a volume of one kind of container: `postgres` and `valkey`, which serve; `ingest`, `identity` and `stats`,
with the URLs by which a service reaches its own database and Valkey; `observers`, with those of the exporters. Valkey
gets digests, but for the password of its administrator.

It also decides whether the stores speak TLS: as `DMP_STORES_TLS` says, and else where others reach the gateway.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

CONTEXTS: Final = ("ingest", "identity", "stats")
_GIVEN: Final = {
    "superuser": "DMP_POSTGRES_PASSWORD",
    **{context: f"DMP_{context.upper()}_DATABASE_PASSWORD" for context in CONTEXTS},
    "valkey": "DMP_VALKEY_PASSWORD",
}
"""The passwords that somebody may choose, by the variables that name them."""
_MADE: Final = (*_GIVEN, "valkey-admin", "postgres-exporter", "valkey-exporter")
_KNOWN_TO_ALL: Final = "local-"
"""How the passwords began that used to stand in docker-compose.yml."""
_AUTHORITY: Final = "/certificates/ca.pem"
_SERVICES_MAY: Final = "~dmp:* &* -@all +@connection +@read +@write +@stream +@scripting +@transaction -@dangerous"
_EXPORTER_MAY: Final = "resetkeys resetchannels -@all +@connection +info +config|get +slowlog +latency +dbsize +client"


class RefusedError(Exception):
    """Nothing may start like this. The text is for people."""


def make_passwords(directory: Path, environment: Mapping[str, str]) -> bool:
    """Writes all files below `directory`, and returns whether the stores speak TLS. Raises RefusedError."""
    alone = _only_this_machine(environment.get("DMP_HTTP_HOST") or "127.0.0.1")
    _refuse_what_all_know(environment, alone=alone)
    tls = _tls(environment.get("DMP_STORES_TLS", ""), alone=alone)
    passwords = {name: _password(directory / "kept" / name, environment.get(_GIVEN.get(name, ""))) for name in _MADE}
    files = {
        **_for_postgres(passwords, tls=tls),
        **_for_valkey(passwords, tls=tls),
        **_for_services(passwords, tls=tls),
        **_for_observers(passwords, tls=tls),
    }
    for name, text in files.items():
        _write(directory / name, text)
    return tls


def _only_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_what_all_know(environment: Mapping[str, str], *, alone: bool) -> None:
    known = [name for name in _GIVEN.values() if environment.get(name, "").startswith(_KNOWN_TO_ALL)]
    if known and not alone:
        raise RefusedError(
            f"DMP_HTTP_HOST lets other machines reach the gateway, but a password is one that everybody can read: take "
            f"{', '.join(known)} out of .env, so that one is made, or set DMP_HTTP_HOST=127.0.0.1"
        )


def _tls(said: str, *, alone: bool) -> bool:
    if said not in ("", "0", "1"):
        raise RefusedError("DMP_STORES_TLS must be 1 or 0, or empty: then it is 1 where others reach the gateway")
    return said == "1" if said else not alone


def _password(kept: Path, given: str | None) -> str:
    if given:
        if not given.isprintable():
            raise RefusedError("a password must be of printable characters")
        return given
    if not kept.exists():
        _write(kept, secrets.token_urlsafe(24))
    return kept.read_text()


def _for_postgres(passwords: Mapping[str, str], *, tls: bool) -> dict[str, str]:
    names = {"superuser": "superuser", **{context: context for context in CONTEXTS}, "exporter": "postgres-exporter"}
    return {
        **{f"postgres/{file}": passwords[name] for file, name in names.items()},
        "postgres/tls": "on" if tls else "off",
    }


def _for_valkey(passwords: Mapping[str, str], *, tls: bool) -> dict[str, str]:
    users = {
        "default": (passwords["valkey-admin"], "~* &* +@all"),
        "dmp": (passwords["valkey"], _SERVICES_MAY),
        "exporter": (passwords["valkey-exporter"], _EXPORTER_MAY),
    }
    lines = [
        f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} {may}"
        for name, (password, may) in users.items()
    ]
    return {
        "valkey/users.conf": "\n".join(lines) + "\n",
        "valkey/admin": passwords["valkey-admin"],
        "valkey/tls": "on" if tls else "off",
    }


def _for_services(passwords: Mapping[str, str], *, tls: bool) -> dict[str, str]:
    verified = f"?sslmode=verify-full&sslrootcert={_AUTHORITY}" if tls else "?sslmode=disable"
    redis = f"rediss://dmp:{_escaped(passwords['valkey'])}@valkey:6379/0?ssl_ca_certs={_AUTHORITY}"
    if not tls:
        redis = f"redis://dmp:{_escaped(passwords['valkey'])}@valkey:6379/0"
    files = {}
    for context in CONTEXTS:
        role = f"dmp_{context}"
        files[f"{context}/database.url"] = (
            f"postgresql://{role}:{_escaped(passwords[context])}@postgres:5432/{role}{verified}"
        )
        files[f"{context}/redis.url"] = redis
    return files


def _for_observers(passwords: Mapping[str, str], *, tls: bool) -> dict[str, str]:
    verified = f"sslmode=verify-full&sslrootcert={_AUTHORITY}" if tls else "sslmode=disable"
    scheme = "rediss" if tls else "redis"
    return {
        "observers/postgres.uri": f"postgres:5432/postgres?{verified}",
        "observers/postgres.password": passwords["postgres-exporter"],
        "observers/valkey.url": f"{scheme}://exporter:{_escaped(passwords['valkey-exporter'])}@valkey:6379",
    }


def _escaped(password: str) -> str:
    return quote(password, safe="")


def _write(path: Path, text: str) -> None:
    """For its owner and the group of this process; who reads it sees the old text or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as file:
        file.write(text)
    fresh.replace(path)


def main() -> int:
    """The command."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    try:
        tls = make_passwords(Path(sys.argv[1]), os.environ)
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"passwords: every container has its own; PostgreSQL and Valkey speak {'TLS only' if tls else 'without TLS'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
