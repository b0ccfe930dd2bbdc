"""One HTTP exchange with the gateway, over httpx2. Its types stay in here."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import msgspec

from dmp_client.errors import ConflictError, DmpError, NotAllowedError, NotFoundError, RefusedError, UnavailableError

PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be answered: nothing was wrong with it."""

_ERRORS: Final[Mapping[int, type[RefusedError]]] = {
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
}


QueryValue = str | int | bool | Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of the gateway.

    method: of HTTP. path: with a slash in front. query: parameters; those that are None are left out, lists come
    once for each of their texts.
    body: None for none. content_type, encoding: of the body. prefer, accept: the headers of these names.
    repeatable: true if doing it twice is the same as doing it once.
    also_answers: statuses of 400 and above that are answers, not errors.
    """

    method: str
    path: str
    query: Mapping[str, QueryValue] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    encoding: str = ""
    prefer: str = ""
    accept: str = ""
    repeatable: bool = True
    also_answers: frozenset[int] = frozenset()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say all this."""
        said = {
            "content-type": "" if self.body is None else self.content_type,
            "content-encoding": self.encoding,
            "prefer": self.prefer,
            "accept": self.accept,
        }
        return {name: value for name, value in said.items() if value}

    @property
    def parameters(self) -> dict[str, str | list[str]]:
        """The query as texts."""
        return {
            name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else _query_text(value)
            for name, value in self.query.items()
            if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. retry_after: seconds that the server asks to wait, if it does."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer under way. refused: the whole answer, if it is an error. lines: of the body, as they come."""

    refused: Reply | None
    lines: Iterator[str]


@dataclass(frozen=True, slots=True)
class AsyncStream:
    """The same for asyncio."""

    refused: Reply | None
    lines: AsyncIterator[str]


class NoReplyError(DmpError):
    """The exchange failed: nothing came back, or not all of it.

    sent: false if the request surely did not reach anybody.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How the gateway is reached. timeout_seconds: for one exchange. proxy: None takes that of the environment."""

    url: str
    api_key: str | None
    timeout_seconds: float
    connect_seconds: float
    proxy: str | None

    def options(self) -> dict[str, Any]:
        """The arguments of both kinds of httpx2 client."""
        headers = {"user-agent": "dmp-client/0.1"}
        if self.api_key is not None:
            headers["authorization"] = f"Bearer {self.api_key}"
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": httpx2.Timeout(self.timeout_seconds, connect=self.connect_seconds),
            "proxy": self.proxy,
            # Reading the certificates of the world takes 60 ms of CPU, and a plain address needs none of them.
            "verify": not self.url.lower().startswith("http://"),
            "limits": httpx2.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=60.0),
        }


class HttpTransport:
    """Exchanges requests for replies, one at a time for each caller. Raises NoReplyError."""

    def __init__(self, connection: Connection) -> None:
        self._client = httpx2.Client(**connection.options())
        self._connect_seconds = connection.connect_seconds

    def exchange(self, request: Request, *, timeout_seconds: float | None = None) -> Reply:
        """One attempt."""
        extra: dict[str, Any] = {} if timeout_seconds is None else {"timeout": timeout_seconds}
        try:
            response = self._client.request(
                request.method,
                request.path,
                params=request.parameters,
                content=request.body,
                headers=request.headers,
                **extra,
            )
        except httpx2.HTTPError as error:
            raise _no_reply(error) from None
        return _reply(response)

    @contextmanager
    def stream(self, request: Request, *, silence_seconds: float) -> Iterator[Stream]:
        """An answer that comes line by line; NoReplyError when no byte comes for so long, also while lines are read."""
        timeout = httpx2.Timeout(silence_seconds, connect=self._connect_seconds)
        try:
            with self._client.stream(
                request.method, request.path, params=request.parameters, headers=request.headers, timeout=timeout
            ) as response:
                if response.status_code >= 400:
                    response.read()
                    yield Stream(_reply(response), iter(()))
                else:
                    yield Stream(None, response.iter_lines())
        except httpx2.HTTPError as error:
            raise _no_reply(error) from None

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()


class AsyncHttpTransport:
    """The same for asyncio."""

    def __init__(self, connection: Connection) -> None:
        self._client = httpx2.AsyncClient(**connection.options())
        self._connect_seconds = connection.connect_seconds

    async def exchange(self, request: Request, *, timeout_seconds: float | None = None) -> Reply:
        """One attempt."""
        extra: dict[str, Any] = {} if timeout_seconds is None else {"timeout": timeout_seconds}
        try:
            response = await self._client.request(
                request.method,
                request.path,
                params=request.parameters,
                content=request.body,
                headers=request.headers,
                **extra,
            )
        except httpx2.HTTPError as error:
            raise _no_reply(error) from None
        return _reply(response)

    @asynccontextmanager
    async def stream(self, request: Request, *, silence_seconds: float) -> AsyncIterator[AsyncStream]:
        """An answer that comes line by line; NoReplyError when no byte comes for so long, also while lines are read."""
        timeout = httpx2.Timeout(silence_seconds, connect=self._connect_seconds)
        try:
            async with self._client.stream(
                request.method, request.path, params=request.parameters, headers=request.headers, timeout=timeout
            ) as response:
                if response.status_code >= 400:
                    await response.aread()
                    yield AsyncStream(_reply(response), _no_lines())
                else:
                    yield AsyncStream(None, response.aiter_lines())
        except httpx2.HTTPError as error:
            raise _no_reply(error) from None

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()


def refusal(reply: Reply) -> DmpError:
    """The error that an answer of 400 and above stands for."""
    error = _error(reply.body)
    message = error.message or f"the gateway answered {reply.status}"
    if reply.status in PASSING_STATUSES:
        return UnavailableError(message)
    reason = ""
    violations: dict[str, list[str]] = {}
    for detail in error.details:
        reason = reason or str(detail.get("reason") or "")
        for violation in detail.get("fieldViolations") or ():
            violations.setdefault(str(violation.get("field", "")), []).append(str(violation.get("description", "")))
    kind = _ERRORS.get(reply.status, RefusedError)
    return kind(message, http_status=reply.status, status=error.status, reason=reason, violations=violations)


class _Error(msgspec.Struct):
    status: str = ""
    message: str = ""
    details: list[dict[str, Any]] = []


class _Envelope(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


def _error(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_Envelope).error
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return _Error()


def _no_reply(error: httpx2.HTTPError) -> NoReplyError:
    unsent = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError))
    return NoReplyError(f"no answer from the gateway ({type(error).__name__})", sent=not unsent)


def _reply(response: httpx2.Response) -> Reply:
    return Reply(
        status=response.status_code,
        body=response.content,
        headers={name.lower(): value for name, value in response.headers.items()},
        retry_after=_seconds(response.headers.get("retry-after")),
    )


def _seconds(text: str | None) -> float | None:
    """`Retry-After`: seconds, or a date."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if math.isfinite(seconds) else None


async def _no_lines() -> AsyncIterator[str]:
    no_lines: tuple[str, ...] = ()
    for line in no_lines:
        yield line


def _query_text(value: QueryValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
