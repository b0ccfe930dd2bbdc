"""What a running server is doing: its tasks, its threads, its gauges, its memory by type. For an operator who wonders.

Names, numbers and places in the code only; no value of anything.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import msgspec

_MOST_TASKS: Final = 20_000
_MOST_KINDS_OF_TASKS: Final = 100
_MOST_FRAMES: Final = 8
_MOST_THREADS: Final = 50
_MOST_OBJECTS: Final = 3_000_000
_MOST_TYPES: Final = 50
_BREATHE_AFTER: Final = 20_000


class TaskKind(msgspec.Struct, frozen=True):
    """Tasks that wait at one place.

    count: how many. coroutine: what they run. stack: where, the outermost first; of long ones the innermost places.
    """

    count: int
    coroutine: str
    stack: tuple[str, ...]


class ThreadStack(msgspec.Struct, frozen=True):
    """One thread, and where it is; as in `TaskKind`."""

    name: str
    stack: tuple[str, ...]


class TypeUse(msgspec.Struct, frozen=True):
    """Objects of one type: how many, and their bytes without what they refer to."""

    type: str
    count: int
    bytes: int


class SelfReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report.

    tasks: how many there are; of more than 20,000 the others are not looked at. kinds: the most frequent first.
    gauges: depths of queues, use of pools and their like, by the names of the metrics.
    most_resident_bytes: of the process, since it began.
    objects: the types that take most, of the containers that were made since the start was over; texts and numbers
    count with what holds them, not here.
    """

    at: str
    pid: int
    tasks: int
    kinds: list[TaskKind]
    threads: list[ThreadStack]
    gauges: Mapping[str, float]
    most_resident_bytes: int
    garbage_collections: list[int]
    objects: list[TypeUse]


async def write_report(gauges: Mapping[str, float], *, directory: Path | None = None) -> Path:
    """Writes a report as JSON into a new file that only its owner may read; returns its path.

    directory: that of temporary files by default. The memory is looked through in a thread, in small steps: that takes
    about a second for a million objects, in which calls are answered. Raises OSError.
    """
    tasks = asyncio.all_tasks()
    kinds = _kinds_of(list(tasks)[:_MOST_TASKS])
    threads = _threads()
    objects = await asyncio.to_thread(_objects)
    report = SelfReport(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        pid=os.getpid(),
        tasks=len(tasks),
        kinds=kinds,
        threads=threads,
        gauges=gauges,
        most_resident_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        garbage_collections=[each["collections"] for each in gc.get_stats()],
        objects=objects,
    )
    return await asyncio.to_thread(_write, msgspec.json.format(msgspec.json.encode(report)), directory)


def _write(text: bytes, directory: Path | None) -> Path:
    # A name that nobody can have taken, with mode 0600.
    file, path = tempfile.mkstemp(prefix=f"dmp-report-{os.getpid()}-", suffix=".json", dir=directory)
    with os.fdopen(file, "wb") as to:
        to.write(text + b"\n")
    return Path(path)


def _kinds_of(tasks: Iterable[asyncio.Task[Any]]) -> list[TaskKind]:
    counted = Counter((_name_of(task), _stack_of_task(task)) for task in tasks)
    return [TaskKind(count, name, stack) for (name, stack), count in counted.most_common(_MOST_KINDS_OF_TASKS)]


def _name_of(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return str(getattr(coroutine, "__qualname__", type(coroutine).__qualname__))


def _stack_of_task(task: asyncio.Task[Any]) -> tuple[str, ...]:
    """From the coroutine of the task down to the one that waits."""
    places: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None and len(places) < 10 * _MOST_FRAMES:
        frame: FrameType | None = next(
            (found for name in ("cr_frame", "gi_frame", "ag_frame") if (found := getattr(waiting, name, None))), None
        )
        if frame is not None:
            places.append(_place(frame.f_code, frame.f_lineno))
        waiting = _awaited_by(waiting)
    return tuple(places[-_MOST_FRAMES:])


def _awaited_by(waiting: object) -> object | None:
    """What a coroutine, a generator, or what `await` makes of them waits for."""
    if type(waiting).__name__ == "coroutine_wrapper":
        # Between gRPC's library, which is compiled, and our handlers. It shows its coroutine to the garbage collector.
        return next((found for found in gc.get_referents(waiting) if hasattr(found, "cr_frame")), None)
    names = ("cr_await", "gi_yieldfrom", "ag_await")
    return next((found for name in names if (found := getattr(waiting, name, None)) is not None), None)


def _threads() -> list[ThreadStack]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return [
        ThreadStack(names.get(ident, "of a library"), _stack_of_thread(frame))
        for ident, frame in list(sys._current_frames().items())[:_MOST_THREADS]
    ]


def _stack_of_thread(frame: FrameType | None) -> tuple[str, ...]:
    places: list[str] = []
    while frame is not None and len(places) < _MOST_FRAMES:
        places.append(_place(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(places))


def _place(code: CodeType, line: int) -> str:
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{line} {code.co_qualname}"


def _objects() -> list[TypeUse]:
    counts: Counter[type] = Counter()
    sizes: Counter[type] = Counter()
    objects = gc.get_objects()[:_MOST_OBJECTS]
    for number, each in enumerate(objects):
        kind = type(each)
        counts[kind] += 1
        sizes[kind] += _size(each)
        if number % _BREATHE_AFTER == 0:
            time.sleep(0)  # lets the event loop go on
    return [
        TypeUse(f"{kind.__module__}.{kind.__qualname__}", counts[kind], size)
        for kind, size in sizes.most_common(_MOST_TYPES)
    ]


def _size(thing: object) -> int:
    try:
        return sys.getsizeof(thing, 0)
    except Exception:  # noqa: BLE001 -- a `__sizeof__` of somebody else
        return 0
