"""What the drill promises, as entries."""

import random
from collections.abc import Sequence

import numpy as np

from tests.bench.figures import Entry
from tests.costly_rules.drill import CHEAP, COSTLY, Turns

MOST_RATIO, MOST_SECONDS = 1.5, 0.25
RESAMPLES = 1000

Rounds = Sequence[Sequence[float]]


def entries(kind: str, turns: Turns) -> list[Entry]:
    """All lines of one sort of costly rules."""
    return [
        _ratio(f"{kind}.alone", turns.beside, turns.alone, "the same chats alone", MOST_RATIO),
        _ratio(
            f"{kind}.floor",
            turns.beside,
            turns.floor,
            "the same beside cheap rules",
            MOST_RATIO,
            note=f"answered: {turns.answered[COSTLY]} by costly rules,"
            f" {turns.answered[CHEAP]} by cheap ones",
        ),
        _ratio(
            f"{kind}.plain",
            turns.floor,
            turns.alone,
            "the same chats alone",
            note="what as many callers cost whose rules match nothing",
        ),
        _longest(kind, turns),
        _failures(kind, turns),
    ]


def _ratio(
    entry_id: str,
    ours: Rounds,
    theirs: Rounds,
    against: str,
    most: float | None = None,
    note: str = "",
) -> Entry:
    value, floor, draw = p50(ours), p50(theirs), random.Random(1)
    pairs = [*zip(ours, theirs, strict=True)]
    drawn = [draw.choices(pairs, k=len(pairs)) for _ in range(RESAMPLES)]
    ratios = sorted(
        p50([one for one, _ in some]) / p50([other for _, other in some]) for some in drawn
    )
    said = (
        f"{_of(ours)}; against: {_of(theirs)}; interval: {len(pairs)} rounds, drawn anew",
        *([note] if note else []),
    )
    return Entry(
        id=f"costly.{entry_id}",
        value=1e3 * value,
        unit="ms",
        against=against,
        ratio=value / floor,
        goal="" if most is None else f"ratio <= {most:g}",
        met=None if most is None else value <= most * floor,
        ci95=(ratios[RESAMPLES // 40], ratios[-RESAMPLES // 40]),
        note="; ".join(said),
    )


def _longest(kind: str, turns: Turns) -> Entry:
    longest, alone = (max(map(max, rounds)) for rounds in (turns.beside, turns.alone))
    return Entry(
        id=f"costly.{kind}.longest",
        value=longest,
        unit="s",
        against="the longest alone",
        ratio=longest / alone,
        goal=f"<= {MOST_SECONDS:g} s",
        met=longest <= MOST_SECONDS,
        ci95=(longest / alone, longest / alone),
        note=f"alone {alone:.3f} s",
    )


def _failures(kind: str, turns: Turns) -> Entry:
    """Nothing costly that was answered would show nothing."""
    failed = len(turns.refused)
    asked = sum(map(len, [*turns.alone, *turns.floor, *turns.beside])) + turns.answered.total()
    return Entry(
        id=f"costly.{kind}.failures",
        value=float(failed),
        unit="requests",
        against="all requests",
        ratio=failed / asked,
        goal="0, and some costly ones answered",
        met=failed == 0 and turns.answered[COSTLY] > 0,
        ci95=(failed / asked, failed / asked),
        note=f"of {asked}, {turns.answered[COSTLY]} of them costly; first: {turns.refused[:3]}",
    )


def p50(rounds: Rounds) -> float:
    """Of the chats of all rounds."""
    return float(np.median(np.concatenate(rounds)))


def _of(rounds: Rounds) -> str:
    taken = [1e3 * one for part in rounds for one in part]
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    return f"{len(taken)} chats, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(taken):.1f} ms"
