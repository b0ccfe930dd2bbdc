"""What keys, TLS and second replicas cost is told from rounds, and judged."""

from __future__ import annotations

from bench.cases import CASES, Case
from bench.guards import guard_losses, losses_table

PLAIN, OPEN = "json/1000/c16", "json/1000/c16/keys/tls/mutual"


def run(rate: float, cpu: float) -> dict[str, object]:
    return {"events_s": rate, "cpu_us_per_event": {"gateway": cpu / 4, "ingest": cpu * 3 / 4}}


def test_shares_are_taken_round_by_round() -> None:
    # The machine was half as fast in the second round: the shares do not see it.
    (loss,) = guard_losses(
        {
            PLAIN: [run(1000, 20), run(500, 40), run(1000, 20)],
            OPEN: [run(990, 25), run(495, 50), run(900, 20)],
        }
    )
    assert [round(share, 6) for share in loss.by_clock] == [0.01, 0.01, 0.1]
    assert [round(share, 6) for share in loss.by_cpu] == [0.2, 0.2, 0]
    assert losses_table([loss]).splitlines()[1].split() == [OPEN, "1.0", "1.0", "10.0", "20.0", "0.0", "20.0"]
    assert [promise.verdict for promise in loss.promises()] == ["target", "MISSED"]


def test_of_keys_alone_nothing_is_promised() -> None:
    (loss,) = guard_losses({PLAIN: [run(1000, 20)], f"{PLAIN}/keys": [run(500, 40)]})
    assert loss.promises() == []


def test_a_second_replica_of_each_service_has_a_limit_of_its_own() -> None:
    (loss,) = guard_losses({PLAIN: [run(1000, 20)], f"{PLAIN}/two": [run(860, 20 / 0.84)]})
    assert [(promise.floor, promise.verdict) for promise in loss.promises()] == [(0.15, "target"), (0.15, "MISSED")]


def test_what_was_not_measured_beside_its_plain_load_is_left_out() -> None:
    assert guard_losses({OPEN: [run(1000, 20)], "json/1/c64": [run(1000, 20)]}) == []


def test_both_promised_loads_are_measured_with_keys_with_tls_with_mutual_tls_and_with_replicas() -> None:
    names = {case.name for case in CASES}
    for plain in ("json/1/c64", PLAIN):
        assert {f"{plain}{guards}" for guards in ("", "/keys", "/keys/tls", "/keys/tls/mutual", "/two")} <= names


def test_the_name_of_a_case_says_its_guards() -> None:
    case = Case(transport="json", batch=10, connections=32, known_percent=50, keys=True, tls=True)
    assert (case.name, case.plain) == ("json/10/c32/dup50/keys/tls", "json/10/c32/dup50")
