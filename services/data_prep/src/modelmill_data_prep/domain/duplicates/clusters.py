"""Clusters of duplicate rows: union-find over pairs, and a summary for the report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.ordinals import Leaders, chunks

CLUSTERS_KEPT = 100
LINES_KEPT_PER_CLUSTER = 100


class UnionFind:
    """Union-find (disjoint sets) over rows; the order of pairs does not matter.

    Args:
        parents: Initially the identity; modified in place.
    """

    def __init__(self, parents: Leaders) -> None:
        self._parents = parents

    def unconnected(
        self, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs whose rows are not in the same cluster yet."""
        different = self._roots(first) != self._roots(second)
        return first[different], second[different]

    def join(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        """Unite the clusters of each pair."""
        while len(first):
            left, right = self._roots(first), self._roots(second)
            different = left != right
            first, second = first[different], second[different]
            left, right = left[different], right[different]
            # A root with several new parents keeps one; the next round handles the others.
            self._parents[np.maximum(left, right)] = np.minimum(left, right)

    def leaders(self) -> Leaders:
        """Smallest ordinal of each row's cluster."""
        for part in chunks(len(self._parents)):
            self._parents[part] = self._roots(np.arange(part.start, part.stop))
        return self._parents

    def _roots(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = self._parents[ordinals]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[ordinals] = roots
        return np.asarray(roots)


@dataclass(frozen=True)
class Cluster:
    """A cluster of duplicates."""

    kept: int
    """Line of the row that is kept."""

    dropped: list[int]
    """Lines of dropped rows, at most `LINES_KEPT_PER_CLUSTER`."""

    dropped_count: int


@dataclass(frozen=True)
class ClusterSummary:
    """Duplicates for the report."""

    clusters: list[Cluster]
    """The first `CLUSTERS_KEPT` clusters, by kept row."""

    dropped_count: int
    """Dropped rows in all clusters."""


def summarise_clusters(leaders: Leaders, lines: NDArray[Any]) -> ClusterSummary:
    """Summarise clusters in two passes over chunks of rows.

    Args:
        leaders: Leader by ordinal.
        lines: Source line by ordinal.
    """
    first = np.empty(0, np.int64)
    dropped_count = 0
    for part in chunks(len(leaders)):
        some = leaders[part][leaders[part] != np.arange(part.start, part.stop)]
        dropped_count += len(some)
        first = np.unique(np.append(first, some))[:CLUSTERS_KEPT]
    dropped: dict[int, list[int]] = {leader: [] for leader in first.tolist()}
    counts = np.zeros(len(first), np.int64)
    for part in chunks(len(leaders)):
        ordinals = np.arange(part.start, part.stop)
        chosen = np.isin(leaders[part], first) & (leaders[part] != ordinals)
        places = np.searchsorted(first, leaders[part][chosen])
        counts += np.bincount(places, minlength=len(first))
        for place in np.unique(places).tolist():
            known = dropped[int(first[place])]
            of_cluster = ordinals[chosen][places == place][: LINES_KEPT_PER_CLUSTER - len(known)]
            known += np.asarray(lines[of_cluster]).tolist()
    clusters = [
        Cluster(int(lines[leader]), dropped[leader], count)
        for leader, count in zip(first.tolist(), counts.tolist(), strict=True)
    ]
    return ClusterSummary(clusters, dropped_count)
