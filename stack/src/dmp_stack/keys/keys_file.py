"""The keys file: JSON, for its owner's eyes only, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from dmp_stack.keys.api_key import ApiKey, KeysError, check, now
from dmp_stack.keys.gateway_files import write_gateway_files
from dmp_stack.keys.key_history import KeyAct, acts_between, history_from_json, history_to_json
from dmp_stack.private_file import write_private

_LARGEST_FILE: Final = 16 * 1024 * 1024
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysDirectory:
    """Where the keys are: `keys.json`, and in `gateway/` what Envoy reads, which says nothing that opens anything."""

    path: Path

    @property
    def keys_file(self) -> Path:
        return self.path / "keys.json"

    @property
    def gateway(self) -> Path:
        return self.path / "gateway"

    @property
    def first_key(self) -> Path:
        """The file with the first admin key, for whoever sets the system up."""
        return self.path / "first-admin-key"

    def read(self) -> list[ApiKey]:
        """All keys, also those that are over; none if there is no file yet. Raises KeysError if it is not one."""
        return self._read()[0]

    def history(self) -> list[KeyAct]:
        """What was done with keys, the oldest first. Raises KeysError."""
        return self._read()[1]

    def _read(self) -> tuple[list[ApiKey], list[KeyAct]]:
        try:
            with self.keys_file.open("rb") as file:
                raw = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise KeysError(f"{self.keys_file} cannot be read: {error.strerror}") from error
        try:
            if len(raw) > _LARGEST_FILE:
                raise ValueError("it is too large")
            document = json.loads(raw)
            keys = [_from_json(entry) for entry in document["keys"]]
            history = history_from_json(document.get("history", []))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise KeysError(
                f"{self.keys_file} is not a keys file ({type(error).__name__}); nothing was changed"
            ) from error
        check(keys)
        return keys, history

    def change(self, decide: Callable[[list[ApiKey]], tuple[list[ApiKey], _Result]]) -> _Result:
        """Reads the keys, has `decide` say which there are from now on, writes them, and tells the gateway.

        One at a time. Raises KeysError, and then nothing has changed.
        """
        with self._locked():
            before, history = self._read()
            keys, result = decide(before)
            check(keys)
            history += acts_between(before, keys, at=now())
            document = {
                "version": 1,
                "keys": [_to_json(key) for key in keys],
                "history": history_to_json(history),
            }
            text = json.dumps(document, indent=2)
            write_private(self.keys_file, text + "\n")
            write_gateway_files(self.gateway, keys)
        return result

    def tell_gateway(self, *, open_to_anybody: bool = False) -> None:
        """Writes what the gateway reads from what the file says now. Raises KeysError if the file cannot be read."""
        with self._locked():
            write_gateway_files(self.gateway, self.read(), open_to_anybody=open_to_anybody)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.gateway.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise KeysError(f"{self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise KeysError(f"{error.filename or self.path} cannot be written: {error.strerror}") from error
        finally:
            os.close(lock)


_TIMES: Final = frozenset({"created_at", "expires_at", "revoked_at"})
_LISTS: Final = frozenset({"scopes", "origins"})
_TEXTS: Final = frozenset({"id", "name", "sha256"})


def _to_json(key: ApiKey) -> dict[str, Any]:
    values = {field.name: getattr(key, field.name) for field in fields(key)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value not in (None, ())
    }


def _from_json(entry: dict[str, Any]) -> ApiKey:
    """Raises ValueError or TypeError for anything that is not what `_to_json` writes."""
    return ApiKey(**{name: _value(name, value) for name, value in entry.items()})


def _value(name: str, value: object) -> Any:  # noqa: ANN401 - the type is the field's
    if name in _TIMES:
        if not isinstance(value, str):
            raise TypeError(name)
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError(name)
        return time
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise TypeError(name)
        return tuple(value)
    if not isinstance(value, str if name in _TEXTS else int) or isinstance(value, bool):
        raise TypeError(name)
    return value
