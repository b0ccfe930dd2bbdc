"""The few requests that the demo and the audit send, over one kept connection."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

_TIMEOUT_SECONDS = 20.0


Answer = dict[str, Any]


class DemoError(Exception):
    """The system answered otherwise than it should. The text is for people."""


class DemoClient:
    """JSON over HTTP to `host:port`, or with TLS to `https://host:port`. Not thread-safe.

    `api_key`: None where none is asked for. An authority that the system does not know stands in SSL_CERT_FILE, unless
    `context` says what to believe.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        api_key: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        host = address.rpartition("//")[2].rstrip("/")
        self._connection = (
            http.client.HTTPSConnection(host, timeout=timeout_seconds, context=context)
            if address.startswith("https://")
            else http.client.HTTPConnection(host, timeout=timeout_seconds)
        )

    def get(self, path: str, **query: str) -> Answer:
        """The answer, which must be a 200."""
        return self._send("GET", f"{path}?{urlencode(query)}" if query else path, None, expected=(200,))

    def post(self, path: str, body: object, *, expected: Sequence[int] = (200,)) -> Answer:
        """The answer, whose status must be one of `expected`."""
        return self._send("POST", path, body, expected=expected)

    def put(self, path: str, body: object) -> Answer:
        """The answer, which must be a 200."""
        return self._send("PUT", path, body, expected=(200,))

    def _send(self, method: str, path: str, body: object, *, expected: Sequence[int]) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, path, content, self._headers)
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request makes another
            raise DemoError(f"{method} {path} was not answered: {error}") from error
        if answer.status not in expected:
            raise DemoError(f"{method} {path} answered {answer.status}: {text[:500]}")
        parsed: Answer = json.loads(text)
        return parsed

    def __enter__(self) -> DemoClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
