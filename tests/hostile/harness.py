"""What an attack costs others: the waiting of another client, its failures, and the memory of every process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Final

import httpx
import psutil

from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.hostile.bystander import CALLS, Bystander, Seen

MOST_SECONDS: Final = 0.5
_MOST_TIMES_ALONE: Final = 2.5
MOST_GROWTH: Final = 200 << 20
SOON_SECONDS: Final = 5.0
_ALONE_SECONDS: Final = 1.0
_WATCHED_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.2
_TRIES: Final = 5
_QUIET_TRIES: Final = 5
_LOWEST_PRIORITY: Final = 19


class Memory:
    """The most memory of its own that each process of a system had while this was in use, by id and name.

    What is shared with others, such as PostgreSQL's buffers, is not counted.
    """

    def __init__(self, stack: Stack) -> None:
        self.roots = dict(stack.pids)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = self._now()
        self.most: dict[str, int] = dict(self.before)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def growth(self) -> dict[str, int]:
        """By how many bytes each process grew; one that was not there before grew from nothing."""
        return {name: most - self.before.get(name, 0) for name, most in self.most.items()}

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for name, size in self._now().items():
                self.most[name] = max(size, self.most.get(name, 0))

    def _now(self) -> dict[str, int]:
        found = {}
        for name, process in self._families().items():
            try:
                memory: Any = process.memory_info()
            except psutil.NoSuchProcess:
                continue
            found[name] = memory.rss - memory.shared
        return found

    def _families(self) -> dict[str, psutil.Process]:
        """The processes of the system and their descendants, by root and id.

        All processes of the machine are read once. To ask each root for its descendants reads them once for each
        root: beside the systems of other tests that took most of a core from the system that is measured.
        """
        processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
        children: dict[int, list[int]] = {}
        for pid, process in processes.items():
            children.setdefault(process.info["ppid"], []).append(pid)
        found = {}
        for root, pid in self.roots.items():
            family = [pid]
            for member in family:  # grows while it is read
                family += children.get(member, [])
            found.update({f"{root} {member}": processes[member] for member in family if member in processes})
        return found


def _from_elsewhere(attack: Callable[[], object]) -> None:
    """Attacks with the processor time that the system leaves: an attacker has a machine of its own.

    Linux knows priorities by thread, and threads that a thread starts have its priority.
    """

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        attack()

    with ThreadPoolExecutor(1) as attacker:
        attacker.submit(run).result()


class System:
    """A running system that is attacked."""

    def __init__(self, stack: Stack, bystander: Bystander) -> None:
        self.stack = stack
        self._bystander = bystander
        self.url = stack.http_url.rstrip("/")
        self.grpc_address = stack.grpc_address

    def warm_up(self) -> None:
        """Returns when another client is answered as soon as ever: the first calls of everything are slower."""
        self._wait_until_quiet()

    def _wait_until_quiet(self) -> Seen:
        """What the other client sees when nobody attacks, as soon as that is as usual or has been waited for."""
        tries = 0
        while True:
            tries += 1
            seen = self._bystander.watch(lambda: None, at_least_seconds=_ALONE_SECONDS)
            if tries == _QUIET_TRIES or (not seen.failures and seen.worst_p99_seconds < MOST_SECONDS / 5):
                return seen

    def assert_nobody_else_is_harmed_by(
        self, attack: Callable[[], None], *, opening: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        """Attacks while another client is served: no process grows by more than 200 MB, the other client has no
        failure and a p99 under half a second on each path, and 5 s later all is normal. `opening` goes before the
        attack and lasts as long: while it opens, which takes the machine some time, only failures and memory count.

        On a machine that others keep busy a wait may be theirs: then the attack is made again, five times in all. Where
        the other client waits for more than 200 ms without an attack, too, an attack may make that two and a half
        times as long.
        """
        tries: list[str] = []
        for _ in range(_TRIES):
            alone = self._wait_until_quiet()
            with Memory(self.stack) as memory, ExitStack() as opened:
                first = self._bystander.watch(
                    lambda: _from_elsewhere(lambda: opened.enter_context(opening())), at_least_seconds=0
                )
                seen = self._bystander.watch(lambda: _from_elsewhere(attack), at_least_seconds=_WATCHED_SECONDS)
            self._assert_normal_soon()
            print(self._sentence(alone.worst_p99_seconds, seen.p99_seconds(), memory.growth()))
            failures = [*first.failures.items(), *seen.failures.items()]
            assert not failures, failures
            grown = {name: growth >> 20 for name, growth in memory.growth().items() if growth > MOST_GROWTH}
            assert not grown, f"grown, in MB: {grown}"
            assert dict(self.stack.pids) == memory.roots, "a process ended"
            if seen.worst_p99_seconds < max(MOST_SECONDS, _MOST_TIMES_ALONE * alone.worst_p99_seconds):
                return
            tries.append(f"{seen.p99_seconds()} (without attack {alone.worst_p99_seconds:.3f})")
        raise AssertionError(f"p99 in seconds, try by try: {tries}")

    def _assert_normal_soon(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10.0, trust_env=False) as api:
            wait_until(lambda: self._is_normal(api), "everything answers as before", timeout_seconds=SOON_SECONDS)

    def _is_normal(self, api: httpx.Client) -> bool:
        for path, call in CALLS.items():
            begun = time.perf_counter()
            answer = call(api)
            if answer.status_code >= 300 or time.perf_counter() - begun > MOST_SECONDS:
                return False
            if path == "POST /events" and not answer.json()["applied"]:
                return False
        return True

    def _sentence(self, alone: float, p99: dict[str, float], growth: dict[str, int]) -> str:
        waits = ", ".join(f"{path} {seconds * 1000:.0f}" for path, seconds in p99.items())
        name, most = max(growth.items(), key=lambda item: item[1])
        return f"p99 in ms: {waits} (without attack at most {alone * 1000:.0f}); {name} grew most: {most >> 20} MB"
