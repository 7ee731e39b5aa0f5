"""Near duplicates: rows whose signatures agree in most places, and those near to these."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.clusters import Joining
from modelmill_data_prep.domain.duplicates.near_store import NearStore, agree
from modelmill_data_prep.domain.duplicates.ordinals import Leaders, chunks, own_ordinals, stays
from modelmill_data_prep.domain.duplicates.signatures import signatures

_NEIGHBOURS = 3
"""In a meeting each row is compared with so many before it, and with the first."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def near_leaders(store: NearStore, threshold: float, exact: Leaders, path: Path) -> Leaders:
    """By ordinal the first row of its cluster; rows near to one of a cluster are in it.

    Of rows that are equal only the first is compared; the others follow it.

    Args:
        store: Signatures of all rows.
        threshold: Estimated Jaccard similarity from which two rows are near duplicates.
        exact: Leaders of the exact duplicates.
        path: A new file for the result.
    """
    joining = Joining(own_ordinals(path, store.rows))
    meetings = store.meetings(threshold, store.divisions_together(threshold))
    with store.signatures() as known:
        for keys, ordinals in meetings:
            first = stays(exact, ordinals)
            for pairs in _candidates(keys[first], ordinals[first]):
                open_pairs = joining.apart(*pairs)
                near = agree(known, known, open_pairs, threshold)
                joining.join(open_pairs[0][near], open_pairs[1][near])
    leaders = joining.leaders()
    for part in chunks(store.rows):
        leaders[part] = leaders[exact[part]]
    return leaders


def _candidates(keys: NDArray[np.uint64], ordinals: NDArray[np.int64]) -> Iterator[Pairs]:
    """Pairs of rows that meet: a number of them that grows with the rows, not with its square."""
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
    """The near duplicates among batches of texts: the whole stage by itself.

    Args:
        texts: Batches, in order.
        threshold: Estimated Jaccard similarity from which two texts are near duplicates.
        folder: A new folder, which is made, for what does not stay in memory.
    """
    store = NearStore(folder, [threshold])
    for batch in texts:
        store.add(signatures(pa.array(batch, pa.string())), store.rows)
    exact = own_ordinals(folder / "own", store.rows)
    return near_leaders(store, threshold, exact, folder / "leaders")
