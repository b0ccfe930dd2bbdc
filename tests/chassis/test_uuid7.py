"""Identifiers: their form, their order, their uniqueness across threads and forks."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid

import pytest

from dmp_chassis.uuid7 import uuid7, uuid7_text


def test_an_identifier_is_a_uuid_of_version_7_that_carries_the_time() -> None:
    before = time.time_ns() // 1_000_000
    value = uuid7()
    after = time.time_ns() // 1_000_000
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert before <= value.int >> 80 <= after + 1


def test_the_text_is_the_canonical_text_of_a_uuid() -> None:
    text = uuid7_text()
    assert str(uuid.UUID(text)) == text
    assert uuid.UUID(text).version == 7


def test_identifiers_increase_strictly_in_both_spellings() -> None:
    values = [str(uuid7()) if index % 2 else uuid7_text() for index in range(200_000)]
    assert all(earlier < later for earlier, later in itertools.pairwise(values))
    assert uuid.UUID(values[-1]).int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_threads_get_different_identifiers_each_in_increasing_order() -> None:
    found: list[list[str]] = []

    def take() -> None:
        found.append([uuid7_text() for _ in range(20_000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({value for values in found for value in values}) == 80_000
    assert all(values == sorted(values) for values in found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_draw_what_its_parent_draws() -> None:
    uuid7_text()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(uuid7_text() for _ in range(2_000)).encode())
        os._exit(0)
    os.close(writer)
    of_parent = {uuid7_text() for _ in range(2_000)}
    with os.fdopen(reader) as pipe:
        of_child = set(pipe.read().split())
    os.waitpid(child, 0)
    assert len(of_child) == 2_000
    # Not even the random part of any, so that a common millisecond and count would not make them alike.
    assert {text[-12:] for text in of_child} & {text[-12:] for text in of_parent} == set()
