"""Which figures keep what was promised."""

from __future__ import annotations

from bench.figures import Figures


def judged(unit: str, values: list[float], floor: float | None, target: float | None) -> list[str]:
    figures = Figures()
    figures.note("it", unit, values, floor=floor, target=target)
    return [promise.verdict for promise in figures.promises()]


def test_a_rate_must_be_large_and_a_time_small() -> None:
    assert judged("/s", [20.0], 10, 20) == ["target"]
    assert judged("/s", [19.0], 10, 20) == ["floor"]
    assert judged("/s", [9.0], 10, 20) == ["MISSED"]
    assert judged("ms", [10.0], 20, 10) == ["target"]
    assert judged("ms", [19.0], 20, 10) == ["floor"]
    assert judged("ms", [21.0], 20, 10) == ["MISSED"]


def test_of_many_times_the_99th_percentile_counts() -> None:
    assert judged("ms", [1.0] * 97 + [50.0] * 3, 20, 10) == ["MISSED"]
    assert judged("ms", [1.0] * 999 + [50.0], 20, 10) == ["target"]


def test_a_target_without_a_floor_is_the_floor() -> None:
    assert judged("us", [15.1], None, 15) == ["MISSED"]


def test_what_has_no_target_promises_nothing() -> None:
    assert judged("ms", [1.0], None, None) == []
