"""Which events of a batch the cache attributes, and which are left."""

from __future__ import annotations

import pytest

from dmp_identity.domain.cached_attribution import CachedAttribution
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.snapshot import GraphVersion
from dmp_identity.settings import load_policy

POLICY = load_policy()
VERSION = GraphVersion(server=7, people=1, evidence=1)
ANN, BEN, STRANGER = ("email", "ann@x.com"), ("email", "ben@x.com"), ("email", "new@x.com")
HERS, HIS, THEIRS, NEW = (("browser_id", name) for name in ("hers", "his", "theirs", "new"))
ADDRESS = ("ip_address", "1.1.1.1")


@pytest.fixture
def cache() -> GraphCache:
    """Of profiles 1 and 2, a browser each, one that both have, and anonymous profiles of that and of an address."""
    made = GraphCache()
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
            profiles_with={HERS: [1], HIS: [2], THEIRS: [1, 2, 3]},
            anonymous={THEIRS: 3, ADDRESS: 4},
        )
    )
    return made


def attribution(cache: GraphCache, *events: list[Key]) -> CachedAttribution:
    """The attribution of a batch."""
    identifiers = [
        [parsed for key in keys if (parsed := IdentifierParser(POLICY).parse(*key)) is not None] for keys in events
    ]
    return CachedAttribution(cache, identifiers, range(len(events)))


def attributed(batch: CachedAttribution) -> dict[int, int]:
    """Event -> profile; every other event is left."""
    assert batch.left.isdisjoint(batch.attributed)
    return {position: profile.id for position, profile in batch.attributed.items()}


def links(batch: CachedAttribution) -> list[tuple[Key, int]]:
    """The links that the batch makes."""
    return [(link.parsed.key, link.profile) for link in batch.links()]


def test_what_is_known_is_placed_with_its_person(cache: GraphCache) -> None:
    batch = attribution(cache, [ANN], [HIS], [THEIRS], [ADDRESS])
    assert attributed(batch) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert batch.left == set()
    assert batch.persons == {1: 1, 2: 2, 3: 3, 4: 4}
    cache.remember(
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
    assert attribution(cache, [HIS], [ANN]).persons == {1: 1, 2: 1}


def test_only_the_events_at_the_positions_are_looked_at(cache: GraphCache) -> None:
    known, stranger = [IdentifierParser(POLICY).parse(*ANN)], [IdentifierParser(POLICY).parse(*STRANGER)]
    identifiers: list[list[ParsedIdentifier]] = [
        [one for one in some if one is not None] for some in (known, stranger, known)
    ]
    batch = CachedAttribution(cache, identifiers, [2])
    assert attributed(batch) == {2: 1}
    assert batch.left == set()


def test_a_browser_that_is_on_an_event_which_is_not_placed_places_nothing(cache: GraphCache) -> None:
    batch = attribution(cache, [HERS], [STRANGER, HERS], [HERS], [HIS])
    assert attributed(batch) == {3: 2}
    assert batch.left == {0, 1, 2}


def test_nobody_gets_a_browser_beside_an_event_that_is_not_placed_and_shows_it(cache: GraphCache) -> None:
    batch = attribution(cache, [ANN, NEW], [STRANGER, NEW], [BEN])
    assert attributed(batch) == {2: 2}
    assert links(batch) == []


def test_an_event_that_gives_a_browser_to_somebody_and_one_that_relies_on_it_both_go_unattributed(
    cache: GraphCache,
) -> None:
    batch = attribution(cache, [HIS], [ANN, HIS], [ANN], [HERS])
    assert attributed(batch) == {2: 1, 3: 1}
    assert batch.left == {0, 1}
    assert links(batch) == []
    # Without one that relies on it the browser is only given.
    assert links(attribution(cache, [ANN, HIS], [ANN])) == [(HIS, 1)]


def test_an_event_that_relies_on_one_browser_and_gets_another_is_looked_at_with_those_of_both(
    cache: GraphCache,
) -> None:
    assert attributed(attribution(cache, [HERS, HIS], [HIS], [ANN, HERS])) == {2: 1}
    # Who relies on one and gets another that nobody has needs locks for it.
    assert attributed(attribution(cache, [HERS, NEW], [HIS])) == {1: 2}
    assert attributed(attribution(cache, [ANN, NEW], [HIS])) == {0: 1, 1: 2}


def test_what_depends_on_a_dependent_goes_unplaced_too(cache: GraphCache) -> None:
    # Each shows a browser of the one before, but Ben has his already, and the last shows another.
    events = [[STRANGER, NEW], [ANN, NEW, HERS], [HERS, THEIRS], [BEN, THEIRS], [THEIRS], [HIS]]
    assert attributed(attribution(cache, *events)) == {3: 2, 5: 2}
    assert attributed(attribution(cache, *reversed(events))) == {0: 2, 2: 2}
    # Without the first, all are placed: nobody gets what another one relies on.
    assert attributed(attribution(cache, *events[1:])) == {0: 1, 1: 1, 2: 2, 3: 3, 4: 2}


def test_an_address_drags_nobody_along(cache: GraphCache) -> None:
    batch = attribution(cache, [STRANGER, ADDRESS], [ANN, ADDRESS], [HIS, ADDRESS], [ADDRESS], [THEIRS, ADDRESS])
    assert attributed(batch) == {1: 1, 2: 2, 3: 4, 4: 3}
    assert links(batch) == [(ADDRESS, 1), (ADDRESS, 2), (ADDRESS, 3)]


def test_withdrawing_an_identifier_leaves_unplaced_what_depends_on_it(cache: GraphCache) -> None:
    batch = attribution(cache, [HERS, ADDRESS], [HERS, THEIRS], [THEIRS], [BEN, NEW], [HIS], [ADDRESS])
    assert len(attributed(batch)) == 6
    batch.withdraw([HERS])
    assert attributed(batch) == {3: 2, 4: 2, 5: 4}
    assert links(batch) == [(NEW, 2)]
    batch.withdraw([NEW])
    assert attributed(batch) == {4: 2, 5: 4}
    batch.withdraw([ADDRESS])
    assert attributed(batch) == {4: 2}
    assert batch.left == {0, 1, 2, 3, 5}
    assert links(batch) == []


def test_withdrawing_what_nothing_depends_on_changes_nothing(cache: GraphCache) -> None:
    batch = attribution(cache, [ANN, HERS], [HIS])
    batch.withdraw([HERS, NEW])
    assert attributed(batch) == {0: 1, 1: 2}


def test_everybody_gets_a_browser_once(cache: GraphCache) -> None:
    batch = attribution(cache, [ANN, NEW], [NEW, ANN, NEW], [BEN, NEW, ADDRESS], [HIS, ADDRESS])
    assert links(batch) == [(NEW, 1), (NEW, 2), (ADDRESS, 2)]
