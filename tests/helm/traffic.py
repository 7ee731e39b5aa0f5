"""What NetworkPolicies allow, as edges between the pods of a release and to others."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tests.helm.objects import Pods, matches, of_kind, pods, selector_of
from tests.helm.rendering import NAMESPACE, Manifest, table

COMPONENT, INSTANCE = "app.kubernetes.io/component", "app.kubernetes.io/instance"
DIRECTIONS: Mapping[str, str] = {"ingress": "from", "egress": "to"}
Manifests = Sequence[Manifest]
Edge = tuple[str, str, int]
"""Source, target and port."""


def traffic_errors(manifests: Manifests) -> Iterator[str]:
    """What differs from the table: by what rules name, and by what they come to among all pods."""
    listed = {
        (source, target)
        for edge in table("edges")["edges"]
        for source in edge["from"]
        for target in edge["to"]
    }
    inside = {pod.labels[COMPONENT] for pod in pods(manifests)}
    ingress, egress = allowed(manifests, "ingress"), allowed(manifests, "egress")
    for source, target, port in ingress ^ egress:
        if {source, target} <= inside:
            yield f"{source} to {target}:{port} is allowed on one side alone"
    for source, target, port in ingress | egress:
        if "*" in (source, target):
            yield f"{source} to {target}:{port} has no other side"
    for source, target, port in between_pods(manifests):
        if (source, target) not in listed:
            yield f"{source} to {target}:{port} is in no row"


def allowed(manifests: Manifests, direction: str) -> set[Edge]:
    """By name: `outside` is a peer that values gave, whatever it selects; `*` is everybody."""
    return {
        _edge(own.get(COMPONENT, "*"), _peer(peer), port, direction)
        for own, peer, port in _rules(manifests, direction)
    }


def between_pods(manifests: Manifests) -> set[Edge]:
    """Traffic among the release's own pods that both ends allow, also by peers from values."""
    every = list(pods(manifests))
    one_way = [
        {
            _edge(pod.labels[COMPONENT], other.labels[COMPONENT], port, direction)
            for own, peer, port in _rules(manifests, direction)
            for pod in every
            if matches(own, pod.labels)
            for other in every
            if _selects(peer, other)
        }
        for direction in DIRECTIONS
    ]
    return one_way[0] & one_way[1]


def _rules(
    manifests: Manifests, direction: str
) -> Iterator[tuple[Mapping[str, str], Manifest, int]]:
    """Whose rule, about which peer ({} is everybody), on which port (0 is all of them)."""
    for each in of_kind(manifests, "NetworkPolicy"):
        for rule in each["spec"].get(direction, ()):
            for peer in rule.get(DIRECTIONS[direction]) or [{}]:
                for port in rule.get("ports") or [{"port": 0}]:
                    yield selector_of(each), peer, port["port"]


def _edge(own: str, other: str, port: int, direction: str) -> Edge:
    return (other, own, port) if direction == "ingress" else (own, other, port)


def _peer(peer: Manifest) -> str:
    labels: Mapping[str, str] = peer.get("podSelector", {}).get("matchLabels", {})
    if not peer or (INSTANCE in labels and COMPONENT not in labels):
        return "*"
    return labels[COMPONENT] if INSTANCE in labels else "outside"


def _selects(peer: Manifest, pod: Pods) -> bool:
    """Whether it is a pod of the release, all of which are in one namespace."""
    if "ipBlock" in peer:
        return False
    namespace = peer.get("namespaceSelector", {}).get("matchLabels", {})
    selector: Any = peer.get("podSelector", {})
    return (
        matches(namespace, {"kubernetes.io/metadata.name": NAMESPACE})
        and matches(selector.get("matchLabels", {}), pod.labels)
        and not any(map(partial(_excludes, pod), selector.get("matchExpressions", ())))
    )


def _excludes(pod: Pods, expression: Manifest) -> bool:
    """By NotIn, which is the only operator that the chart writes; those of values select all."""
    is_not_in = expression["operator"] == "NotIn"
    return is_not_in and pod.labels.get(expression["key"]) in expression["values"]
