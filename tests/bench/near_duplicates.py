"""Our near duplicates, as dedup.* asks for them: the one place that knows how they are called.

`python -m tests.bench.near_duplicates TEXTS RESULT THRESHOLD`, as `rival_datasketch`.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from modelmill_data_prep.domain.duplicates.near import deduplicate

BATCH_TEXTS = 1_000


def leaders_of(texts: Sequence[str], threshold: float, folder: Path) -> Sequence[int]:
    """Of each text the place of the first one that says about the same.

    Args:
        folder: For what does not stay in memory.
    """
    batches = (texts[start : start + BATCH_TEXTS] for start in range(0, len(texts), BATCH_TEXTS))
    leaders: list[int] = deduplicate(batches, threshold, folder).tolist()
    return leaders


def main() -> None:
    """Read, find, write."""
    texts, threshold = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), float(sys.argv[3])
    with tempfile.TemporaryDirectory() as place:
        # Imports and tables.
        leaders_of(texts[:10], threshold, Path(place) / "first")
        started = time.perf_counter()
        leaders = leaders_of(texts, threshold, Path(place) / "all")
        seconds = time.perf_counter() - started
    answer = {"seconds": seconds, "leaders": [int(one) for one in leaders]}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
