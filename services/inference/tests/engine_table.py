"""Runs the contract suite and prints which engine passed which case.

    python -m services.inference.tests.engine_table [FILE.json]

From the repository's root, for the engines that CONTRACT_ENGINES names or else those that need
nothing but this environment. With a file the table is written there too. Ends with the status of
the suite.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .engine_bench import CANNOT, engines_to_test

SUITE = Path(__file__).with_name("test_engine_contract.py")
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"

Table = dict[str, dict[str, str]]
"""Outcome by case, then by engine."""


class TableOfOutcomes:
    """A plugin of pytest that notes what became of each engine in each case."""

    def __init__(self) -> None:
        self.table: Table = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for the set-up, the call and the end of each test; the worst of them counts."""
        named = re.search(r"::test_(\w+)\[([a-z]+)-?(.*)\]$", report.nodeid)
        if named is None:
            return
        case, engine, variant = named.groups()
        # Pytest names variants by their place only.
        row = self.table.setdefault(
            f"{case.replace('_', ' ')}{variant and f' ({variant})'}",
            dict.fromkeys(engines_to_test(), NOT_RUN),
        )
        if report.failed:
            row[engine] = FAILED
        elif row[engine] != FAILED and (report.when == "call" or report.skipped):
            cannot = report.skipped or dict(report.user_properties).get(CANNOT)
            row[engine] = CANNOT if cannot else PASSED


def lines_of(table: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The table as text: a line for each case, a column for each engine, the sums below."""
    engines = engines_to_test()
    widths = [max(len(engine), len(NOT_RUN)) for engine in engines]
    first = max(map(len, table), default=0)

    def line(head: str, cells: list[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "  ".join([head.ljust(first), *padded]).rstrip()

    rows = [
        line(case, [outcomes[engine] for engine in engines]) for case, outcomes in table.items()
    ]
    sums = [
        line(
            f"cases {outcome}",
            [str(sum(row[engine] == outcome for row in table.values())) for engine in engines],
        )
        for outcome in (PASSED, CANNOT, FAILED, NOT_RUN)
    ]
    return [line("", engines), *rows, "", *sums]


def main() -> int:
    """The status of the suite."""
    outcomes = TableOfOutcomes()
    status = pytest.main(["-q", "-p", "no:cacheprovider", str(SUITE)], plugins=[outcomes])
    print("\n".join(["", *lines_of(outcomes.table)]))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(outcomes.table, indent=2) + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
