"""Lineage: what an artifact was made from, back to the files that somebody uploaded."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from modelmill_registry.manifest import Manifest


class ManifestSource(Protocol):
    """The part of a store that a walk needs."""

    def manifest(self, digest: str) -> Manifest: ...


class VerifyingSource(Protocol):
    """The part of a store that a check of all bytes needs."""

    def verify(self, digest: str) -> Manifest: ...


@dataclass(frozen=True)
class Edge:
    """`made` was made from `source`, which had the part `role` in it."""

    made: str
    role: str
    source: str


def walk(store: ManifestSource, digest: str) -> tuple[Edge, ...]:
    """Every edge below `digest`, nearest first, each once.

    Raises:
        NotFoundError: An artifact of the chain is not in the store.
        CorruptArtifactError: A manifest of the chain changed since its commit.
    """
    edges: list[Edge] = []
    for manifest in _chain(store.manifest, digest):
        edges += [Edge(manifest.digest, *item) for item in sorted(manifest.made_from.items())]
    return tuple(edges)


def verify(store: VerifyingSource, digest: str) -> tuple[Manifest, ...]:
    """Read every byte of the artifact and of all that it was made from; nearest first.

    Raises:
        NotFoundError: An artifact of the chain is not in the store.
        CorruptArtifactError: A byte of the chain changed since its commit.
    """
    return tuple(_chain(store.verify, digest))


def _chain(read: Callable[[str], Manifest], digest: str) -> Iterator[Manifest]:
    waiting, met = deque([digest]), {digest}
    while waiting:
        manifest = read(waiting.popleft())
        yield manifest
        for _, source in sorted(manifest.made_from.items()):
            if source not in met:
                met.add(source)
                waiting.append(source)
