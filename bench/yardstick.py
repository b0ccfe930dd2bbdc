"""How fast the machine is at the moment, all cores busy: the neighbours of a virtual one change that within minutes."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Self

_TEXTS = 20_000
_ROUNDS = 36


class Yardstick:
    """A fixed piece of work, the same for every machine, commit and case; processes wait for it from the start on."""

    def __init__(self) -> None:
        self._cores = len(os.sched_getaffinity(0))
        self._pool = ProcessPoolExecutor(self._cores, mp_context=get_context("spawn"))

    def __enter__(self) -> Self:
        self.measure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def measure(self) -> float:
        """Thousands of texts a second that one core makes, keeps in a dictionary, finds again and sorts, while every
        core does the same: about half a second. More than fits into the caches, as in the services.
        """
        works = [self._pool.submit(_work) for _ in range(self._cores)]
        return sum(_TEXTS * _ROUNDS / work.result() / 1000 for work in works) / self._cores


def _work() -> float:
    began = time.perf_counter()
    for seed in range(_ROUNDS):
        texts = [f"{number * 2654435761 % 4294967296:08x}-{seed}" for number in range(_TEXTS)]
        positions = {text: position for position, text in enumerate(texts)}
        ordered = sorted(texts)
        assert sum(positions[text] for text in ordered) == _TEXTS * (_TEXTS - 1) // 2
    return time.perf_counter() - began
