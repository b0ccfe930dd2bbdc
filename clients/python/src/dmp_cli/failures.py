"""What can go wrong for who types a command: exit codes, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from dmp_client import (
    ConflictError,
    DmpError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """The exit codes of every command; `dmp --help` lists them."""

    DONE = 0
    """All is as it was asked."""
    PARTLY = 1
    """It was done, and something is not as it should be: rejected events, a difference in an audit."""
    USAGE = 2
    """The command line is wrong, or a file cannot be read."""
    NOT_FOUND = 3
    """There is no such person, event, merge or campaign."""
    REFUSED = 4
    """DMP said no: something is invalid, or there is a newer version."""
    UNAVAILABLE = 5
    """DMP did not answer, or is not healthy. It is safe to repeat the command."""
    NOT_ALLOWED = 6
    """The API key is missing, unknown, or has not the scope."""
    INTERRUPTED = 130
    """It was interrupted (Ctrl-C)."""


class CommandError(Exception):
    """A command cannot go on. hint: what to do about it."""

    def __init__(self, message: str, *, hint: str = "", code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def exit_code(error: DmpError) -> ExitCode:
    """The exit code for an error of the client."""
    if isinstance(error, NotFoundError):
        return ExitCode.NOT_FOUND
    if isinstance(error, NotAllowedError):
        return ExitCode.NOT_ALLOWED
    if isinstance(error, (ConflictError, RefusedError)):
        return ExitCode.REFUSED
    return ExitCode.UNAVAILABLE


def explained(error: DmpError, url: str) -> Iterator[str]:
    """The error in words, line by line, and what to do."""
    yield str(error)
    if isinstance(error, RefusedError):
        for field, problems in error.violations.items():
            if (problem := f"{field} {'; '.join(problems)}") != str(error):
                yield f"  {problem}"
    if isinstance(error, NotAllowedError):
        yield "Give an API key with --api-key, DMP_API_KEY or `dmp config api_key KEY`."
    elif isinstance(error, ConflictError):
        yield "Look at what is in place now, then decide."
    elif isinstance(error, UnavailableError):
        yield f"Is DMP running at {url}? --url, DMP_URL or `dmp config url URL` name another address."
