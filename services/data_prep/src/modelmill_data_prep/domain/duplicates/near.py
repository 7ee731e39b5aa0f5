"""Near-duplicate clusters by MinHash signatures and LSH bands."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.clusters import UnionFind
from modelmill_data_prep.domain.duplicates.ordinals import (
    Leaders,
    chunks,
    identity_leaders,
    is_leader,
)
from modelmill_data_prep.domain.duplicates.signature_store import SignatureStore, agree
from modelmill_data_prep.domain.duplicates.signatures import signatures

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
