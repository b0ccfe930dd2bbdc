"""The client for programs that block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from dmp_client.asking import ask
from dmp_client.backoff import Circuit, RetryPolicy
from dmp_client.counts import CountsQuestions
from dmp_client.feed import listen
from dmp_client.http import Connection
from dmp_client.people import PeopleQuestions
from dmp_client.questions import Question
from dmp_client.sending import Sending, SendingOptions, sending_options
from dmp_client.shared_transport import SharedTransport
from dmp_client.verdicts import Verdict

_Answer = TypeVar("_Answer")


class DmpClient(PeopleQuestions, CountsQuestions, Sending):
    """Sends events and asks questions. One for each process is enough; threads may share it.

    url: of the gateway. api_key: None where none is asked for.
    timeout_seconds: for one exchange; questions are asked again until then if that is safe.
    proxy: its URL; None takes that of the environment.
    on_verdict: called with each event's verdict by the delivery's thread; what it raises is logged and counted.
    options: of spool and delivery, see `SendingOptions`; or give single ones by name: `spool=…`, `source=…`.

    Questions raise NotFoundError, ConflictError, NotAllowedError, RefusedError, UnavailableError.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        connect_seconds: float = 3.0,
        proxy: str | None = None,
        on_verdict: Callable[[Verdict], None] | None = None,
        options: SendingOptions | None = None,
        **named: Any,  # noqa: ANN401 - the fields of SendingOptions
    ) -> None:
        options = sending_options(options, named)
        connection = Connection(
            url=url.rstrip("/"),
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            connect_seconds=connect_seconds,
            proxy=proxy,
        )
        self._readers = SharedTransport(connection)
        super().__init__(connection, options, on_verdict)
        self._timeout_seconds = timeout_seconds
        self._retry: RetryPolicy = options.retry
        self._asking = Circuit(options.retry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until all that was tracked before was answered; false if that took longer than `timeout` seconds."""
        return super().flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flushes and lets go of everything; false if events are left. On disk they wait for the next process."""
        done = super().close(timeout)
        self._readers.close()
        return done

    def after_fork(self) -> None:
        """In the child: forgets what is the parent's."""
        super().after_fork()
        self._readers.after_fork()

    def _ask(self, question: Question[_Answer]) -> _Answer:
        with self._readers.borrowed() as transport:
            return ask(question, transport, self._asking, self._retry, self._timeout_seconds)

    def _listen(
        self, asked: Callable[[int], Question[_Answer]], *, messages: int | None, patience: float
    ) -> Iterator[_Answer]:
        with self._readers.borrowed() as transport:
            yield from listen(asked, transport, self._retry, messages=messages, patience=patience)
