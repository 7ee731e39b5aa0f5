"""Run with `python -m tests.fuzz --seconds 60`.

Each reader gets mutated files for its share of the time. A failure is any error but
InvalidInputError, a row that is neither mapped nor quarantined, or rows that change with the size
of the pieces in which a file is read. Files that fail are kept in build/fuzz.
"""

import argparse
import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import get_args

from data_prep.domain.mapping.map_block import map_block
from data_prep.domain.mapping.row_mapping import LAYOUT_COLUMNS, plan_mapping
from data_prep.domain.reading.file_formats import FileFormat
from data_prep.domain.reading.limits import ReadLimits
from data_prep.domain.reading.parse_block import parse_block
from data_prep.domain.reading.read_blocks import read_blocks
from data_prep.domain.rows import RejectedRow, SourceRow
from service_kit.errors import InvalidInputError

from tests.fuzz.mutations import broken_file, seeds_of

FAILED = Path("build/fuzz")
MAPPINGS = [plan_mapping({"layout": layout}) for layout in LAYOUT_COLUMNS]
MAPPINGS.append(plan_mapping({"user_template": "{q}", "answer_template": "{a}"}))
MAX_ROW_BYTES = 2_000


class FuzzError(AssertionError):
    """A reader broke its promise."""


@dataclass
class Tally:
    """What came of the files of one format."""

    executions: int = 0
    refused: int = 0
    rows: int = 0
    failures: int = 0


def read(path: Path, file_format: FileFormat, chunk: int) -> list[SourceRow | RejectedRow]:
    """All rows, read in pieces of so many bytes."""
    limits = ReadLimits(max_row_bytes=MAX_ROW_BYTES, chunk_bytes=chunk, block_rows=50)
    return [row for block in read_blocks(path, file_format, limits) for row in parse_block(block)]


def execute(path: Path, file_format: FileFormat, random: Random, tally: Tally) -> None:
    """One file through reading and mapping.

    Raises:
        FuzzError: rows differ or are lost.
    """
    try:
        rows = read(path, file_format, 1 << 20)
    except InvalidInputError:
        tally.refused += 1
        return
    tally.rows += len(rows)
    chunk = random.choice((7, 64, 1000))
    if read(path, file_format, chunk) != rows:
        raise FuzzError(f"other rows when read by {chunk} bytes")
    for mapping in MAPPINGS:
        passed = map_block(rows, mapping)
        if passed.rows.num_rows + passed.dropped.num_rows != len(rows):
            raise FuzzError("a row is neither mapped nor quarantined")
        passed.rows.validate(full=True)
        passed.dropped.validate(full=True)


def fuzz(file_format: FileFormat, seconds: float, seed: int) -> Tally:
    """Mutated files of one format for so long."""
    random, tally = Random(f"{seed} {file_format}"), Tally()
    seeds = seeds_of(file_format)
    until = time.monotonic() + seconds
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        while time.monotonic() < until:
            content = broken_file(random, file_format, seeds)
            path.write_bytes(content)
            tally.executions += 1
            try:
                execute(path, file_format, random, tally)
            except Exception as error:
                tally.failures += 1
                FAILED.mkdir(parents=True, exist_ok=True)
                kept = FAILED / f"{hashlib.sha256(content).hexdigest()[:16]}.{file_format}"
                kept.write_bytes(content)
                print(f"FAILED {kept}: {type(error).__name__}: {error}")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all formats together")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    formats: tuple[FileFormat, ...] = get_args(FileFormat)
    failures = 0
    for file_format in formats:
        tally = fuzz(file_format, chosen.seconds / len(formats), chosen.seed)
        failures += tally.failures
        print(
            f"{file_format:10} {tally.executions:8} executions {tally.refused:8} refused whole "
            f"{tally.rows:9} rows {tally.failures:4} failures"
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
