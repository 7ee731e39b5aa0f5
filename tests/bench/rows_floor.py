"""The floor of data_prep.rows: read, parse, hash, write, with nothing but the standard library.

`python -m tests.bench.rows_floor SOURCE TARGET`; the format by the suffix of SOURCE.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    """Each row once: parsed, its SHA-256 remembered, written as a line of JSON."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    seen = set()
    with target.open("w", encoding="utf-8") as written:
        for row in _rows(source):
            line = json.dumps(row, ensure_ascii=False)
            seen.add(hashlib.sha256(line.encode()).digest())
            written.write(line + "\n")


def _rows(source: Path) -> Iterator[dict[str, Any]]:
    with source.open(encoding="utf-8", newline="") as file:
        if source.suffix == ".csv":
            yield from csv.DictReader(file)
        else:
            yield from map(json.loads, file)


if __name__ == "__main__":
    main()
