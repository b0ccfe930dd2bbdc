"""How two checkouts are compared."""

from __future__ import annotations

from bench.in_turn import compared, values_of


def test_a_run_gives_rates_latencies_cost_and_figures() -> None:
    case = {"median": {"events_s": 2000.0, "p99_ms": 40.0, "cpu_us_per_event": {"ingest": 100.0, "stats": 20.0}}}
    result = {"cases": {"json/1/c64": case}, "figures": [{"name": "merge", "unit": "ms", "median": 3.0, "p99": 9.0}]}
    assert values_of(result) == {
        "json/1/c64, events/s": 2000.0,
        "json/1/c64, p99 ms": 40.0,
        "json/1/c64, CPU us an event": 120.0,
        "merge, ms": 3.0,
    }


def test_ratios_are_taken_round_by_round() -> None:
    # The machine was half as fast in the second round: the ratio does not see it.
    lines = compared({"rate": [110.0, 55.0, 120.0]}, {"rate": [100.0, 50.0, 100.0]}).splitlines()
    assert lines[1].split() == ["rate", "110.00", "100.00", "1.100", "1.100", "1.200"]


def test_what_only_one_has_is_left_out() -> None:
    assert len(compared({"new": [1.0], "both": [1.0]}, {"both": [2.0], "old": [1.0]}).splitlines()) == 2
