"""Between protobuf messages and explanations, drawings and the review list."""

from __future__ import annotations

from collections.abc import Sequence

from dmp.identity.v1 import explanation_pb2 as pb
from dmp_identity.adapters.explanation_reads import StoredRefusal
from dmp_identity.api.convert_history import key_text, seconds
from dmp_identity.domain.explain import Link, Node, links_of_identifiers
from dmp_identity.domain.profile_id import public_id
from dmp_identity.explain_link import Explanation, Objection, PersonGraph

_LARGEST = 2**31 - 1


def _node_text(node: Node) -> str:
    return node[1] if node[0] == "profile" else key_text(node)


def _step_to_proto(link: Link) -> pb.ExplanationStep:
    ends = {"from": _node_text(link.a), "to": _node_text(link.b)}
    return pb.ExplanationStep(
        **ends,
        cause=link.cause,
        ref=link.ref,
        source=link.source,
        at=seconds(link.at_us),
        rule=link.rule,
        merge_id=link.merge_id,
    )


def _objection_to_proto(objection: Objection) -> pb.Objection:
    return pb.Objection(
        rule=objection.rule,
        identifier="" if objection.key is None else key_text(objection.key),
        message=objection.message,
        ref=objection.ref,
        times=min(objection.times, _LARGEST),
        at=seconds(objection.at_us),
    )


def explanation_to_proto(explanation: Explanation) -> pb.ExplainLinkResponse:
    """The answer of ExplainLink."""
    return pb.ExplainLinkResponse(
        same_person=explanation.same_person,
        from_user_id="" if explanation.from_root is None else public_id(explanation.from_root),
        to_user_id="" if explanation.to_root is None else public_id(explanation.to_root),
        chain=[_step_to_proto(link) for link in explanation.chain],
        weakest_link=explanation.weakest_link,
        objections=[_objection_to_proto(objection) for objection in explanation.objections],
    )


class _Drawing:
    """Nodes and edges, each once."""

    def __init__(self) -> None:
        self.nodes: dict[str, pb.GraphNode] = {}
        self.edges: dict[tuple[str, str, str], pb.GraphEdge] = {}

    def node(self, number: str, kind: str, label: str, *, owner: str = "", strength: str = "", at_us: int = 0) -> str:
        """The id of a node, which is made if it is not there."""
        self.nodes.setdefault(
            number,
            pb.GraphNode(
                id=number, kind=kind, label=label, internal_user_id=owner, strength=strength, at=seconds(at_us)
            ),
        )
        return number

    def edge(self, start: str, end: str, kind: str, merge_id: str = "") -> None:
        """Connects two nodes."""
        ends = {"from": start, "to": end}
        self.edges.setdefault((start, end, kind), pb.GraphEdge(**ends, kind=kind, merge_id=merge_id))


def graph_to_proto(graph: PersonGraph) -> pb.GetGraphResponse:
    """The answer of GetGraph."""
    drawing = _Drawing()
    for member in graph.members:
        drawing.node(public_id(member), "profile", public_id(member))
    for seen in graph.arrivals:
        node = drawing.node(
            key_text(seen.key),
            "identifier",
            seen.key[1],
            owner=public_id(seen.profile),
            strength="strong",
            at_us=seen.at_us,
        )
        drawing.edge(node, public_id(seen.profile), "arrived")
        drawing.edge(node, drawing.node(f"{seen.cause}:{seen.ref}", seen.cause, seen.ref, at_us=seen.at_us), "shown_by")
    for profile, key, at_us in graph.weak:
        node = drawing.node(key_text(key), "identifier", key[1], owner=public_id(profile), strength="weak", at_us=at_us)
        drawing.edge(node, public_id(profile), "arrived")
    for link in [*links_of_identifiers(graph.arrivals), *graph.links]:
        observation = drawing.node(f"{link.cause}:{link.ref}", link.cause, link.ref, at_us=link.at_us)
        for end in (link.a, link.b):
            if key_text(end) in drawing.nodes:
                drawing.edge(key_text(end), observation, "shown_by")
    for a, b, merge_id in graph.merges:
        drawing.edge(public_id(a), public_id(b), "merged", merge_id)
    return pb.GetGraphResponse(
        internal_user_id=public_id(graph.root), nodes=drawing.nodes.values(), edges=drawing.edges.values()
    )


def refusals_to_proto(refusals: Sequence[StoredRefusal], next_page_token: str) -> pb.ListRefusalsResponse:
    """The answer of ListRefusals."""
    return pb.ListRefusalsResponse(
        refusals=[
            pb.RefusalRecord(
                rule=refusal.rule,
                identifier=refusal.type,
                value=refusal.value,
                internal_user_id=public_id(refusal.profile) if refusal.profile else "",
                other_user_id=public_id(refusal.other) if refusal.other else "",
                times=min(refusal.times, _LARGEST),
                first_at=seconds(refusal.first_at_us),
                last_at=seconds(refusal.last_at_us),
                ref=refusal.ref,
                source=refusal.source,
            )
            for refusal in refusals
        ],
        next_page_token=next_page_token,
    )
