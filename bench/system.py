"""The system under test: a durable stack of its own, and when it is up to date."""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString
from urllib.parse import urlencode

import psycopg

from dmp_stack.gateway_certificates import PublicCertificate
from dmp_stack.settings import StackSettings
from dmp_stack.stack import Stack

PATHS = {"json": "/events", "grpc": "/dmp.ingest.v1.IngestService/PublishEvents"}
"""Where events go, by transport."""

_UP_TO_DATE_SECONDS = 600.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.002
_CONSUMERS = ("identity", "stats")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Counters of PostgreSQL that only grow: bytes of write-ahead log, and batches that identity has applied."""

    wal_bytes: int
    batches: int


class WrongAnswerError(Exception):
    """The system gave a wrong answer: a figure would mean nothing. The text is for people."""


class System:
    """A running stack whose data is thrown away at the end, with fsync and everything else as in production."""

    def __init__(
        self,
        *,
        api_keys: bool = False,
        certificates: Path | None = None,
        mutual: bool = False,
        **settings: Any,  # noqa: ANN401 -- fields
    ) -> None:
        """certificates: a directory as `deploy/certificates` makes it; the gateway speaks TLS with what is there, and
        the services too if `mutual`. None: clear text. settings: further fields of `StackSettings`."""
        shown = None if certificates is None else certificates / "public"
        self.authority = None if shown is None else shown / "ca.pem"
        public = None
        if shown is not None:
            public = PublicCertificate(certificate=shown / "cert.pem", key=shown / "key.pem")
        self.stack = Stack(
            StackSettings(
                http_port=0,
                data_directory=None,
                api_keys=api_keys,
                public_certificate=public,
                certificates_directory=certificates if mutual else None,
                **settings,
            )
        )

    def __enter__(self) -> System:
        self.stack.start()
        self._inboxes = {context: self.stack.postgres.connect(f"dmp_{context}") for context in _CONSUMERS}
        self._log = self.stack.postgres.connect("dmp_ingest")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in (*self._inboxes.values(), self._log):
            connection.close()
        self.stack.stop()

    @property
    def address(self) -> tuple[str, int]:
        """The gateway's host and port, for JSON and gRPC alike."""
        host, _, port = self.stack.grpc_address.rpartition(":")
        return host, int(port)

    @property
    def key(self) -> str | None:
        """An API key with every scope; None when the gateway asks for none."""
        return self.stack.keys.first_key.read_text().strip() if self.stack.settings.api_keys else None

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by the name of the part."""
        return self.stack.pids

    @property
    def log(self) -> psycopg.Connection:
        """A superuser's connection to the database of the event log, in autocommit mode."""
        return self._log

    @contextmanager
    def without(self, service: str) -> Iterator[None]:
        """The service is stopped while the block runs, and serves again when this returns."""
        self.stack.child(service).stop(timeout_seconds=_STOP_SECONDS)
        yield
        self.stack.child(service).start()
        self.stack.wait_healthy()

    def wait_up_to_date(self) -> None:
        """Returns once identity and stats have applied every batch that ingest has committed.

        It compares ingest's outbox with the consumers' inboxes, so it does not wait for the outbox to be tidied up.
        """
        deadline = time.monotonic() + _UP_TO_DATE_SECONDS
        while True:
            waiting = [row[0] for row in self._log.execute("SELECT batch_id FROM outbox")]
            if all(_applied(inbox, waiting) for inbox in self._inboxes.values()):
                return
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"{len(waiting)} batches were not applied within {_UP_TO_DATE_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)  # between two questions whether all is applied

    def read(self) -> Readings:
        """The counters now."""
        return Readings(
            wal_bytes=_number(self._log, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"),
            batches=_number(self._inboxes["identity"], "SELECT count(*) FROM inbox"),
        )

    def campaign_totals(self, campaigns: Mapping[str, int]) -> Counter[str]:
        """Impressions and clicks together, by campaign, as `GET /stats` gives them."""
        now = datetime.now(UTC)
        totals: Counter[str] = Counter()
        believed = ssl.create_default_context(cafile=self.authority) if self.authority else None
        for campaign in campaigns:
            query = {
                "campaign_id": campaign,
                "from": (now - timedelta(days=3)).isoformat(),
                "to": (now + timedelta(days=1)).isoformat(),
                "granularity": "day",
            }
            url = f"{self.stack.http_url}/stats?{urlencode(query)}"
            request = urllib.request.Request(url, headers={"x-api-key": self.key or ""})  # noqa: S310 - http or https
            with urllib.request.urlopen(request, timeout=60, context=believed) as answer:  # noqa: S310 - http or https
                for point in json.load(answer)["series"]:
                    totals[campaign] += point["impressions"] + point["clicks"]
        return totals


def _applied(inbox: psycopg.Connection, batches: list[object]) -> bool:
    if not batches:
        return True
    row = inbox.execute("SELECT count(*) FROM inbox WHERE batch_id = ANY(%s)", (batches,)).fetchone()
    return row is not None and row[0] == len(batches)


def _number(connection: psycopg.Connection, query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
