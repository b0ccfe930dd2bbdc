"""Which events of a batch are placed from memory beside those that are not."""

from __future__ import annotations

import pytest

from dmp_identity.domain.graph_memory import GraphMemory, Learned
from dmp_identity.domain.placing import Placing
from dmp_identity.domain.reading import Key, PolicyReader, Reading
from dmp_identity.domain.snapshot import GraphVersion
from dmp_identity.settings import load_policy

READER = PolicyReader(load_policy())
VERSION = GraphVersion(server=7, people=1, evidence=1)
ANN, BEN, STRANGER = ("email", "ann@x.com"), ("email", "ben@x.com"), ("email", "new@x.com")
HERS, HIS, THEIRS, NEW = (("browser_id", name) for name in ("hers", "his", "theirs", "new"))
ADDRESS = ("ip_address", "1.1.1.1")


@pytest.fixture
def memory() -> GraphMemory:
    """Of profiles 1 and 2, a browser each, one that both have, and anonymous profiles of that and of an address."""
    made = GraphMemory()
    assert made.follow(VERSION)
    made.remember(
        Learned(
            version=VERSION,
            after=VERSION,
            owners={ANN: (1, 11), BEN: (2, 12)},
            persons={1: 1, 2: 2, 3: 3, 4: 4},
            absorbed={},
            links=[(HERS, 1), (HIS, 2), (THEIRS, 1), (THEIRS, 2), (THEIRS, 3), (ADDRESS, 4)],
            pairs=[],
            holders={HERS: [1], HIS: [2], THEIRS: [1, 2, 3]},
            anonymous={THEIRS: 3, ADDRESS: 4},
        )
    )
    return made


def placing(memory: GraphMemory, *events: list[Key]) -> Placing:
    """The placing of a batch."""
    readings = [[reading for key in keys if (reading := READER.read(*key)) is not None] for keys in events]
    return Placing(memory, readings, range(len(events)))


def placed(batch: Placing) -> dict[int, int]:
    """Event -> profile; every other event is unplaced."""
    assert batch.unplaced.isdisjoint(batch.placed)
    return {position: profile.id for position, profile in batch.placed.items()}


def links(batch: Placing) -> list[tuple[Key, int]]:
    """The links that the batch makes beside."""
    return [(link.reading.key, link.profile) for link in batch.links()]


def test_what_is_known_is_placed_with_its_person(memory: GraphMemory) -> None:
    batch = placing(memory, [ANN], [HIS], [THEIRS], [ADDRESS])
    assert placed(batch) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert batch.unplaced == set()
    assert batch.persons == {1: 1, 2: 2, 3: 3, 4: 4}
    memory.remember(
        Learned(
            version=VERSION,
            after=VERSION._replace(people=2),
            owners={},
            persons={},
            absorbed={2: 1},
            links=(),
            pairs=(),
        )
    )
    assert placing(memory, [HIS], [ANN]).persons == {1: 1, 2: 1}


def test_only_the_events_at_the_positions_are_looked_at(memory: GraphMemory) -> None:
    known, stranger = [READER.read(*ANN)], [READER.read(*STRANGER)]
    readings: list[list[Reading]] = [[one for one in some if one is not None] for some in (known, stranger, known)]
    batch = Placing(memory, readings, [2])
    assert placed(batch) == {2: 1}
    assert batch.unplaced == set()


def test_a_browser_that_is_on_an_event_which_is_not_placed_places_nothing(memory: GraphMemory) -> None:
    batch = placing(memory, [HERS], [STRANGER, HERS], [HERS], [HIS])
    assert placed(batch) == {3: 2}
    assert batch.unplaced == {0, 1, 2}


def test_nobody_gets_a_browser_beside_an_event_that_is_not_placed_and_shows_it(memory: GraphMemory) -> None:
    batch = placing(memory, [ANN, NEW], [STRANGER, NEW], [BEN])
    assert placed(batch) == {2: 2}
    assert links(batch) == []


def test_an_event_that_gives_a_browser_to_somebody_and_one_that_relies_on_it_both_go_unplaced(
    memory: GraphMemory,
) -> None:
    batch = placing(memory, [HIS], [ANN, HIS], [ANN], [HERS])
    assert placed(batch) == {2: 1, 3: 1}
    assert batch.unplaced == {0, 1}
    assert links(batch) == []
    # Without one that relies on it the browser is only given.
    assert links(placing(memory, [ANN, HIS], [ANN])) == [(HIS, 1)]


def test_an_event_that_relies_on_one_browser_and_gets_another_is_looked_at_with_those_of_both(
    memory: GraphMemory,
) -> None:
    assert placed(placing(memory, [HERS, HIS], [HIS], [ANN, HERS])) == {2: 1}
    # Who relies on one and gets another that nobody has needs locks for it.
    assert placed(placing(memory, [HERS, NEW], [HIS])) == {1: 2}
    assert placed(placing(memory, [ANN, NEW], [HIS])) == {0: 1, 1: 2}


def test_what_depends_on_a_dependent_goes_unplaced_too(memory: GraphMemory) -> None:
    # Each shows a browser of the one before, but Ben has his already, and the last shows another.
    events = [[STRANGER, NEW], [ANN, NEW, HERS], [HERS, THEIRS], [BEN, THEIRS], [THEIRS], [HIS]]
    assert placed(placing(memory, *events)) == {3: 2, 5: 2}
    assert placed(placing(memory, *reversed(events))) == {0: 2, 2: 2}
    # Without the first, all are placed: nobody gets what another one relies on.
    assert placed(placing(memory, *events[1:])) == {0: 1, 1: 1, 2: 2, 3: 3, 4: 2}


def test_an_address_drags_nobody_along(memory: GraphMemory) -> None:
    batch = placing(memory, [STRANGER, ADDRESS], [ANN, ADDRESS], [HIS, ADDRESS], [ADDRESS], [THEIRS, ADDRESS])
    assert placed(batch) == {1: 1, 2: 2, 3: 4, 4: 3}
    assert links(batch) == [(ADDRESS, 1), (ADDRESS, 2), (ADDRESS, 3)]


def test_withdrawing_an_identifier_leaves_unplaced_what_depends_on_it(memory: GraphMemory) -> None:
    batch = placing(memory, [HERS, ADDRESS], [HERS, THEIRS], [THEIRS], [BEN, NEW], [HIS], [ADDRESS])
    assert len(placed(batch)) == 6
    batch.withdraw([HERS])
    assert placed(batch) == {3: 2, 4: 2, 5: 4}
    assert links(batch) == [(NEW, 2)]
    batch.withdraw([NEW])
    assert placed(batch) == {4: 2, 5: 4}
    batch.withdraw([ADDRESS])
    assert placed(batch) == {4: 2}
    assert batch.unplaced == {0, 1, 2, 3, 5}
    assert links(batch) == []


def test_withdrawing_what_nothing_depends_on_changes_nothing(memory: GraphMemory) -> None:
    batch = placing(memory, [ANN, HERS], [HIS])
    batch.withdraw([HERS, NEW])
    assert placed(batch) == {0: 1, 1: 2}


def test_everybody_gets_a_browser_once(memory: GraphMemory) -> None:
    batch = placing(memory, [ANN, NEW], [NEW, ANN, NEW], [BEN, NEW, ADDRESS], [HIS, ADDRESS])
    assert links(batch) == [(NEW, 1), (NEW, 2), (ADDRESS, 2)]
