"""Finds why two identifiers are one person: the shortest chain of observations and merges that connects them, and its
weakest link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dmp_identity.domain.parsed_identifier import Key

Node = tuple[str, str]
"""An identifier, or a profile as ("profile", its public id)."""


class SeenIdentifier(msgspec.Struct, frozen=True):
    """A strong identifier as it is stored. via: what brought it to its profile, None if the profile began with it."""

    key: Key
    profile: int
    cause: str
    ref: str
    source: str
    at_us: int
    via: Key | None
    via_strong: bool


class Link(msgspec.Struct, frozen=True):
    """Two nodes that belong together, and what showed it."""

    a: Node
    b: Node
    cause: str
    ref: str
    source: str
    at_us: int
    rule: str
    merge_id: str


def links_of_identifiers(identifiers: Iterable[SeenIdentifier]) -> list[Link]:
    """What the arrivals show: an identifier with what brought it, and with those that arrived in the same observation.

    `identifiers` are in order of arrival.
    """
    links: list[Link] = []
    arrivals: dict[tuple[int, str], list[SeenIdentifier]] = {}
    first_of: dict[int, SeenIdentifier] = {}
    given = list(identifiers)
    here = {seen.key for seen in given}
    for seen in given:
        first = first_of.setdefault(seen.profile, seen)
        if first is not seen and seen.via is not None and seen.via_strong and seen.via not in here:
            # What brought it was detached since.
            links.append(_link(seen, first.key, "same_profile"))
        elif seen.via is not None and seen.via_strong:
            links.append(_link(seen, seen.via, "seen_together"))
        elif seen.via is not None and first is not seen:
            links += [_link(seen, seen.via, "adopted"), _link(seen, first.key, "adopted", other=seen.via)]
        siblings = arrivals.setdefault((seen.profile, seen.ref), [])
        links += [_link(seen, sibling.key, "seen_together") for sibling in siblings]
        siblings.append(seen)
    return links


def _link(seen: SeenIdentifier, to: Key, rule: str, *, other: Key | None = None) -> Link:
    """A link between `to` and the identifier, or between `to` and `other`, that this arrival shows."""
    return Link(
        a=to,
        b=other or seen.key,
        cause=seen.cause,
        ref=seen.ref,
        source=seen.source,
        at_us=seen.at_us,
        rule=rule,
        merge_id="",
    )


def shortest_chain(links: Sequence[Link], starts: Sequence[Node], ends: frozenset[Node]) -> list[Link] | None:
    """The shortest chain from any of `starts` to any of `ends`, each link turned so that it leads on; None if there
    is none.
    """
    if not ends.isdisjoint(starts):
        return []
    by_node: dict[Node, list[Link]] = {}
    for link in links:
        by_node.setdefault(link.a, []).append(link)
        by_node.setdefault(link.b, []).append(link)
    came_by: dict[Node, Link | None] = dict.fromkeys(starts)
    waiting = deque(starts)
    while waiting:
        node = waiting.popleft()
        for link in by_node.get(node, ()):
            other = link.b if link.a == node else link.a
            if other in came_by:
                continue
            came_by[other] = link if link.a == node else _turned(link)
            if other in ends:
                return _walk_back(came_by, other)
            waiting.append(other)
    return None


def weakest(chain: Sequence[Link]) -> int:
    """The position of the link that carries least, -1 for an empty chain: one through a browser, else by a request,
    else by a person, else by an event; of equal ones the youngest."""
    strength: Mapping[str, int] = {"contact": 1, "manual": 2, "event": 3}
    if not chain:
        return -1
    return min(
        range(len(chain)),
        key=lambda n: (0 if chain[n].rule == "adopted" else strength.get(chain[n].cause, 3), -chain[n].at_us),
    )


def _turned(link: Link) -> Link:
    return msgspec.structs.replace(link, a=link.b, b=link.a)


def _walk_back(came_by: Mapping[Node, Link | None], end: Node) -> list[Link]:
    chain: list[Link] = []
    node = end
    while (link := came_by[node]) is not None:
        chain.append(link)
        node = link.a
    return chain[::-1]
