"""Parts of rendered objects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.helm.rendering import Manifest

WORKLOADS = ("Deployment", "StatefulSet", "Job", "Pod")
ENDING = ("Job", "Pod")
"""Whose pods do one thing and end."""


@dataclass(frozen=True)
class Pods:
    """The pods of one workload, all alike."""

    name: str
    kind: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    claims: frozenset[str]
    """Volumes that each pod has of its own."""


def of_kind(manifests: Sequence[Manifest], kind: str) -> list[Manifest]:
    """Objects of a kind."""
    return [each for each in manifests if each["kind"] == kind]


def name_of(manifest: Manifest) -> str:
    """Its name."""
    return str(manifest["metadata"]["name"])


def labels_of(manifest: Manifest) -> Mapping[str, str]:
    """Labels of an object, or of a pod template."""
    labels: Mapping[str, str] = manifest["metadata"].get("labels", {})
    return labels


def selector_of(manifest: Manifest) -> Mapping[str, str]:
    """The labels that it selects by."""
    spec = manifest["spec"]
    selector = spec.get("selector", spec.get("podSelector", {}))
    return dict(selector.get("matchLabels", selector if manifest["kind"] == "Service" else {}))


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether it selects what has these labels; an empty selector selects all."""
    return all(labels.get(key) == value for key, value in selector.items())


def pods(manifests: Sequence[Manifest]) -> Iterator[Pods]:
    """Of every workload its pods."""
    for each in manifests:
        if each["kind"] in WORKLOADS:
            template = each if each["kind"] == "Pod" else each["spec"]["template"]
            own = each["spec"].get("volumeClaimTemplates", ())
            claims = frozenset(name_of(claim) for claim in own)
            yield Pods(name_of(each), each["kind"], labels_of(template), template["spec"], claims)


def containers(pod: Pods) -> list[dict[str, Any]]:
    """All of them, those of the start included."""
    return [*pod.spec.get("initContainers", ()), *pod.spec["containers"]]
