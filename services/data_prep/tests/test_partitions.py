"""Records that are divided by their keys, in memory or on disk."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.duplicates.disk_arrays import PartitionedRecords

BITS = 3
KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=20)


@given(st.lists(KEYS, max_size=6), st.integers(1, 400))
def test_records_are_the_same_however_many_of_them_wait_in_memory(
    batches: list[list[int]], buffer_bytes: int
) -> None:
    by_hand: list[list[int]] = [[] for _ in range(2**BITS)]
    with TemporaryDirectory() as folder:
        divided = PartitionedRecords(
            Path(folder) / "records", np.dtype(np.int64), bits=BITS, buffer_bytes=buffer_bytes
        )
        number = 0
        for keys in batches:
            divided.add(np.array(keys, np.uint64), np.arange(number, number + len(keys)))
            for key in keys:
                by_hand[key >> (64 - BITS)].append(number)
                number += 1
            # Asked in between, it goes on taking records.
            assert [part.tolist() for part in divided.partitions()] == by_hand

        for part in divided.partitions():
            part[:] = -1  # What is handed out is the caller's.

        assert [part.tolist() for part in divided.partitions()] == by_hand
