"""`python -m tests.guard.recall`: what is found of each class of the corpus, and what is not.

Recall: of texts with a forbidden word, the share in which the word's own rule matches where the
word stands. False positives: of harmless texts, the share in which any rule matches. Beside it the
same for a plain word list on NFKC text (`plain_list`), which says no places, so that any match of
the rule counts.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction
from rich.console import Console
from rich.table import Table

from tests.guard.corpus.make import corpus as made
from tests.guard.corpus.rows import POLICY_FILE, Row, corpus, policy
from tests.guard.plain_list import PlainList


@dataclass(frozen=True)
class Judged:
    """A row, and whether each side found what it should, or what it should not."""

    row: Row
    ours: bool
    plain: bool


def judged(rows: Iterable[Row]) -> list[Judged]:
    """Every row by both sides."""
    plain = PlainList(parse_policy({"policy": POLICY_FILE.read_text("utf-8")}))
    return [Judged(row, _found(row), _found_plainly(row, plain)) for row in rows]


def _found(row: Row) -> bool:
    matches = policy().check(row.text, Direction.INPUT).matches
    if row.rule is None:
        return bool(matches)
    return any(
        match.rule_id == row.rule and match.start < row.end and match.end > row.start
        for match in matches
    )


def _found_plainly(row: Row, plain: PlainList) -> bool:
    found = plain.found(row.text)
    return bool(found) if row.rule is None else row.rule in found


def share(found: Sequence[bool]) -> float:
    """How many of them; 0 of none."""
    return sum(found) / len(found) if found else 0.0


def main() -> None:
    """Print the table, and with `--missed` the texts that were judged wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.guard.recall", description=__doc__)
    parser.add_argument("--missed", action="store_true", help="print each text judged wrongly")
    parser.add_argument(
        "--seed", type=int, help="other texts by the same makers, which nobody has looked at"
    )
    asked = parser.parse_args()
    rows = corpus() if asked.seed is None else made(asked.seed)
    results, console = judged(rows), Console()
    console.print(_table(results))
    if asked.missed:
        for one in results:
            if one.ours is (one.row.rule is None):
                what = f"missed {one.row.word}" if one.row.rule else "found"
                console.print(f"{one.row.kind} {one.row.language}: {what}: {one.row.text!r}")


def _table(results: Sequence[Judged]) -> Table:
    table = Table("class", "", "texts", "recall", "plain list", "harmless", "false", "plain list")
    kinds = dict.fromkeys((one.row.kind, one.row.language) for one in results)
    for kind, language in kinds:
        of_kind = [one for one in results if (one.row.kind, one.row.language) == (kind, language)]
        table.add_row(kind, language, *_cells(of_kind))
    table.add_section()
    table.add_row("all", "", *_cells(results))
    return table


def _cells(results: Sequence[Judged]) -> list[str]:
    cells = []
    for forbidden in (True, False):
        rows = [one for one in results if (one.row.rule is not None) is forbidden]
        cells.append(str(len(rows)))
        for found in ([one.ours for one in rows], [one.plain for one in rows]):
            cells.append(f"{share(found):.3f}" if rows else "")
    return cells


if __name__ == "__main__":
    main()
