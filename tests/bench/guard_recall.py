"""guard.recall and guard.false: disguised words found, and harmless texts touched.

The evasion corpus (`tests/guard/corpus`): 1,855 texts with a forbidden stand-in word in 20 sorts of
disguise, Chinese and English, and 828 harmless ones, some of them in the same disguises.
guard.recall: share of the former in which the word's own rule matches where it stands.
guard.false: share of the latter in which any rule matches. Rival of both: the same words and
patterns by Python's `re` in the NFKC form of the text. Counted once: no rounds and no floor;
`python -m tests.guard.recall` prints every class.
"""

from collections.abc import Sequence

from tests.bench.data_accuracy import paired_ratio
from tests.bench.figures import Entry, Line
from tests.bench.harness import Group, Run
from tests.guard.corpus.rows import corpus
from tests.guard.recall import Judged, judged, share

RECALL, FALSE = "guard.recall", "guard.false"
SECONDS = 5.0
LOWEST = 4
"""Classes that the note names."""


async def measure(run: Run) -> list[Line]:
    """Both of one pass."""
    results = judged(corpus())
    forbidden = [one for one in results if one.row.rule is not None]
    harmless = [one for one in results if one.row.rule is None]
    lines: list[Line] = []
    if RECALL in run.wanted:
        note = f"{len(forbidden):,} texts; lowest: {_lowest(forbidden)}"
        lines.append(_line(RECALL, forbidden, "of disguised words", note))
    if FALSE in run.wanted:
        touched = {f"{one.row.kind} {one.row.language}" for one in harmless if one.ours}
        note = f"{len(harmless):,} texts; in {', '.join(sorted(touched)) or 'no class'}"
        lines.append(_line(FALSE, harmless, "of harmless texts", note))
    return lines


def _lowest(forbidden: Sequence[Judged]) -> str:
    by_kind: dict[str, list[bool]] = {}
    for one in forbidden:
        by_kind.setdefault(f"{one.row.kind} {one.row.language}", []).append(one.ours)
    kinds = sorted(by_kind, key=lambda kind: share(by_kind[kind]))[:LOWEST]
    return ", ".join(f"{kind} {share(by_kind[kind]):.3f}" for kind in kinds)


def _line(entry_id: str, results: Sequence[Judged], unit: str, note: str) -> Entry:
    ours, plain = [one.ours for one in results], [one.plain for one in results]
    ratio, low, high = paired_ratio(ours, plain)
    return Entry(
        id=entry_id,
        value=share(ours),
        unit=unit,
        against="word list on NFKC text",
        ratio=ratio,
        goal="",
        met=None,
        ci95=(low, high),
        note=f"word list {share(plain):.3f}; {note}",
    )


GROUP = Group((RECALL, FALSE), measure, SECONDS)
"""Counted, not timed."""
