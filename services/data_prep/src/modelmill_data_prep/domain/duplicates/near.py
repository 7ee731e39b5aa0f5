"""Near-duplicate clusters by MinHash signatures and LSH bands: union-find over similar pairs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.disk_arrays import (
    Leaders,
    chunks,
    identity_leaders,
    is_leader,
)
from modelmill_data_prep.domain.duplicates.row_keys import signatures
from modelmill_data_prep.domain.duplicates.signature_store import SignatureStore, agree

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


_NEIGHBOURS = 3
"""Per band key, a row is compared with this many predecessors and with the first row."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def near_leaders(store: SignatureStore, threshold: float, exact: Leaders, path: Path) -> Leaders:
    """Leader of each row's near-duplicate cluster (single linkage).

    Of exact duplicates only the first is compared.


    Args:
        store: Signatures of all rows.
        threshold: Minimum estimated Jaccard similarity of near duplicates.
        exact: Leaders of exact duplicates.
        path: File for the result; created here.
    """
    joining = UnionFind(identity_leaders(path, store.rows))
    band_groups = store.band_groups(threshold, store.partitions_per_group(threshold))
    with store.signatures() as known:
        for keys, ordinals in band_groups:
            first = is_leader(exact, ordinals)
            for pairs in _candidates(keys[first], ordinals[first]):
                open_pairs = joining.unconnected(*pairs)
                near = agree(known, known, open_pairs, threshold)
                joining.join(open_pairs[0][near], open_pairs[1][near])
    leaders = joining.leaders()
    for part in chunks(store.rows):
        leaders[part] = leaders[exact[part]]
    return leaders


def _candidates(keys: NDArray[np.uint64], ordinals: NDArray[np.int64]) -> Iterator[Pairs]:
    """Candidate pairs with equal band keys; linear in the number of rows."""
    if len(keys) < 2:
        return
    places = np.arange(len(keys))
    begins = np.append(True, keys[1:] != keys[:-1])
    first = np.maximum.accumulate(np.where(begins, places, 0))
    for back in range(1, _NEIGHBOURS + 1):
        met = places[places - first >= back]
        yield ordinals[met - back], ordinals[met]
    met = places[places - first > _NEIGHBOURS]
    yield ordinals[first[met]], ordinals[met]


def deduplicate(texts: Iterable[Sequence[str]], threshold: float, folder: Path) -> Leaders:
    """Stand-alone near-duplicate detection for batches of texts.

    Args:
        texts: Batches, in order.
        threshold: Estimated Jaccard similarity from which two texts are near duplicates.
        folder: Folder for temporary files; created here.
    """
    store = SignatureStore(folder, [threshold])
    for batch in texts:
        store.add(signatures(pa.array(batch, pa.string())), store.rows)
    exact = identity_leaders(folder / "own", store.rows)
    return near_leaders(store, threshold, exact, folder / "leaders")
