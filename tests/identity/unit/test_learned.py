"""What a transaction teaches that only gave profiles weak identifiers."""

from __future__ import annotations

from dmp_identity.domain.learned import Learned
from dmp_identity.domain.snapshot import GraphVersion

VERSION = GraphVersion(server=7, people=1, evidence=1)


def test_links_to_profiles_that_exist_make_no_new_version_and_teach_nothing_else() -> None:
    links = [(("browser_id", "b"), 1)]
    assert Learned.of_links(VERSION, links) == Learned(
        version=VERSION, after=VERSION, owners={}, persons={}, absorbed={}, links=links, pairs=()
    )
