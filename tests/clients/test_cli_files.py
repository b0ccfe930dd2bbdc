"""Files as events, without a server: positions, ids, mappings, times, addresses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_cli.commands.counts import bars
from dmp_cli.commands.load import is_this_machine
from dmp_cli.failures import CommandError
from dmp_cli.mixture import Mixture
from dmp_cli.moments import clock, moment
from dmp_cli.sending.files import Form, Reading, form_of, records
from dmp_cli.sending.mapping import ColumnMapping
from dmp_cli.sending.place import find_place
from dmp_cli.sending.records import Position, Record

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


def reading(*rules: str, source: str | None = None) -> Reading:
    return Reading(mapping=ColumnMapping(rules), note=lambda _: None, source=source)


def read(path: Path, start: Position | None = None, *rules: str) -> list[Record]:
    return list(records(str(path), reading(*rules), start or Position()))


@given(
    lines=st.lists(st.sampled_from([b'{"a":1}', b"{}", b"", b"  ", b"nonsense", '{"ä":"ö"}'.encode()]), max_size=30),
    data=st.data(),
)
def test_reading_on_from_any_record_gives_what_reading_all_gives(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "log.ndjson"
    path.write_bytes(b"\n".join(lines))
    whole = read(path)
    assert len({record.event_id for record in whole}) == len(whole)
    for place in range(len(whole)):
        if data.draw(st.booleans()):
            assert read(path, whole[place].after) == whole[place + 1 :]


@given(rows=st.lists(st.tuples(st.text(max_size=8), st.sampled_from(["a", 'b"c', "d\ne", "f,g", ""])), max_size=20))
def test_csv_can_be_read_on_from_any_row(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    import csv

    path = tmp_path_factory.mktemp("rows") / "shop.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            [("type", "note"), *((text.replace("\0", "").replace("\r", ""), note) for text, note in rows)]
        )
    rule = "note=metadata.note"
    whole = read(path, None, rule)
    assert len(whole) == len(rows)
    for place, record in enumerate(whole):
        assert read(path, record.after, rule) == whole[place + 1 :]


def test_what_is_there_stays_as_it_is_and_what_is_missing_is_put_in_front(tmp_path: Path) -> None:
    path = tmp_path / "log.ndjson"
    path.write_bytes(b'{"event_id":"e1", "n": 12345678901234567890.10}\n{"source":"web"}\n{}\n')
    first, second, third = records(str(path), reading(source="log"), Position())
    assert first.body == b'{"source":"log","event_id":"e1", "n": 12345678901234567890.10}'
    assert json.loads(second.body or b"") == {"event_id": second.event_id, "source": "web"}
    assert json.loads(third.body or b"") == {"event_id": third.event_id, "source": "log"}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"event_id": null}', "event_id"),
        (b'{"event_id": ""}', "event_id"),
        (b'{"event_id": 7}', "event_id"),
        (b"[]", "event"),
        (b"{", "event"),
        (b"\xff", "event"),
        (b'{"a":"' + b"x" * 300_000 + b'"}', "event"),
    ],
)
def test_what_can_be_no_event_is_not_sent(tmp_path: Path, line: bytes, field: str) -> None:
    (tmp_path / "log").write_bytes(line + b"\n{}\n")
    bad, good = read(tmp_path / "log")
    assert bad.body is None
    assert set(bad.problem) == {field}
    assert good.body is not None


def test_values_of_columns() -> None:
    mapping = ColumnMapping(["n=metadata.n:number", "j=metadata.j:json", "x=", "when=timestamp"])
    row = {"type": "click", "email": "a@b.com", "n": "1.5", "j": "[1]", "x": "?", "when": "1770757800", "user_id": ""}
    assert json.loads(mapping.event(row)) == {
        "type": "click",
        "identifiers": {"email": "a@b.com"},
        "metadata": {"n": 1.5, "j": [1]},
        "timestamp": 1770757800,
    }
    assert mapping.unmapped([*row, "other"]) == ["other"]
    typed = {"occurred_at": NOW, "type": "click", "n": Decimal("2.50"), "user_id": 7}
    assert json.loads(mapping.event(typed)) == {
        "occurred_at": "2026-11-28T03:00:00+00:00",
        "type": "click",
        "metadata": {"n": 2.5},
        "user_id": 7,
    }
    for bad in ("nan", "true", "1e999", "x"):
        with pytest.raises(ValueError, match="column 'n'"):
            mapping.event({"n": bad})


def test_the_place_in_a_file_is_kept_for_one_file_and_one_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "log.ndjson"
    path.write_bytes(b"{}\n" * 100)
    place = find_place(str(path), "http://one", restart=False)
    place.position, place.counts = Position(offset=30, number=10, chain="c"), {"accepted": 10}
    place.save()
    assert find_place(str(path), "http://one", restart=False).position == place.position
    assert find_place(str(path), "http://one", restart=False).counts == {"accepted": 10}
    assert find_place(str(path), "http://two", restart=False).position == Position()
    assert find_place(str(path), "http://one", restart=True).position == Position()
    path.write_bytes(b"{}\n" * 200)
    assert find_place(str(path), "http://one", restart=False).position == place.position
    path.write_bytes(b'{"a":1}\n' * 100)
    assert find_place(str(path), "http://one", restart=False).position == Position()
    place.forget()
    place.forget()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("now", "2026-11-28T03:00:00Z"),
        ("90s", "2026-11-28T02:58:30Z"),
        ("-30m", "2026-11-28T02:30:00Z"),
        ("6h", "2026-11-27T21:00:00Z"),
        ("7d", "2026-11-21T03:00:00Z"),
        ("2w", "2026-11-14T03:00:00Z"),
        ("2026-02-10T21:10:00+01:00", "2026-02-10T21:10:00+01:00"),
    ],
)
def test_times_as_people_type_them(text: str, means: str) -> None:
    assert moment(text, "--from", now=NOW) == means


@pytest.mark.parametrize("text", ["", "yesterday", "5", "5y", "2026-02-10", "999999999w"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(CommandError):
        moment(text, "--from", now=NOW)


def test_small_things() -> None:
    assert clock(0) == ""
    assert clock(1770757800.5) == "2026-02-10T21:10:00Z"
    assert [form_of(name) for name in ("a.CSV.gz", "b.tsv", "c.parquet", "d.jsonl.gz", "-")] == [
        Form.CSV,
        Form.CSV,
        Form.PARQUET,
        Form.NDJSON,
        Form.NDJSON,
    ]
    for mine in ("http://localhost:8080", "http://127.0.0.9", "http://[::1]:1"):
        assert is_this_machine(mine)
    for other in ("http://dmp.example", "http://10.0.0.1", "http://localhost.example", "http://"):
        assert not is_this_machine(other)


def test_bars_are_as_long_as_their_counts() -> None:
    points = [(datetime(2026, 2, 10, hour, tzinfo=UTC), count) for hour, count in enumerate((0, 1, 50, 100))]
    plain = [line.plain for line in bars(points, 80)]
    assert [line.count("█") for line in plain] == [0, 0, 26, 53]
    assert plain[1].endswith("▌")
    assert bars([], 80) == []
    many = bars([(datetime.fromtimestamp(second * 60, UTC), 1) for second in range(1000)], 80)
    assert len(many) <= 60


def test_the_mixture_is_of_the_kinds_and_repeats_that_it_says() -> None:
    mixture = Mixture(mark="m", campaigns=5, people=50, seed=3)
    events = [json.loads(mixture.event(NOW)) for _ in range(5000)]
    again = Mixture(mark="m", campaigns=5, people=50, seed=3)
    assert [json.loads(again.event(NOW)) for _ in range(5000)] == events
    kinds = [event.get("type") or event["event_type"] for event in events]
    assert 0.75 < kinds.count("impression") / 5000 < 0.85
    assert 0.01 < 1 - len({event["event_id"] for event in events}) / 5000 < 0.03
    assert all(
        "@m.example" in event["identifiers"]["email"] for event in events if "email" in event.get("identifiers", {})
    )
