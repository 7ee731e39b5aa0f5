"""dedup.datasketch.<...>: near duplicates found by ours and by datasketch, and how quickly.

Sample: rows of both languages (nouns alone without BENCH_DATA), equal ones once, each with a copy
of which 1, 2, 5 or 10 % of the characters are others (one at least), the rates in turn. Truth: all
pairs whose exact Jaccard similarity over their shingles is at least 0.8, planted or not. Shingles,
of both sides and of the truth: five characters of the folded text, three where the first is wide
(Han, kana, Hangul). Both sides name for each text a leader, the first of those that it is
joined with by whatever chain. `.recall`: share of the true pairs with one leader. `.precision`:
share of the texts led by another that a chain of true pairs leads there too. `.speed`: texts/s from
the texts in memory to their leaders, shingling included, one process on one core, no start-up.
Denominator: datasketch's MinHashLSH with 128 permutations and the same threshold, its signatures
made in bulk with xxhash (`rival_datasketch`); it holds all in memory, ours what it sorts on disk.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.harness import Group, Measure, Run
from tests.bench.planted_duplicates import RATES, Planted, judge, plant
from tests.bench.prep_jobs import run_module, run_script
from tests.bench.prep_rows import NOUNS, REVIEWS, absence, origin, rows_of
from tests.bench.prep_spec import LIMITS
from tests.bench.rivals import DATATROVE, is_installed
from tests.bench.rivals import absence as rival_absence

SPEED, RECALL, PRECISION = IDS = tuple(
    f"dedup.datasketch.{what}" for what in ("speed", "recall", "precision")
)
GOALS = {
    SPEED: Goal(3.0, at_least=True),
    RECALL: Goal(1.0, at_least=True),
    PRECISION: Goal(1.0, at_least=True),
}
UNITS = {SPEED: "texts/s", RECALL: "of pairs", PRECISION: "of dropped"}
ROWS = 10_000
"""Of each language."""
SECONDS = 300.0
THRESHOLD: float = LIMITS["near_threshold"]


async def measure(run: Run) -> list[Line]:
    """Three entries of the same turns."""
    if not is_installed(DATATROVE):
        return [
            Unmeasured(one, rival_absence(DATATROVE), True) for one in sorted(run.wanted & set(IDS))
        ]
    run.say(f"{SPEED}: planting")
    kinds = [kind for kind in (REVIEWS, NOUNS) if absence(kind) is None]
    count = run.pick(ROWS, 500)
    planted = plant([kind.text(row) for kind in kinds for row in rows_of(kind, count)], THRESHOLD)
    with TemporaryDirectory() as place:
        texts = Path(place) / "texts.json"
        texts.write_text(json.dumps(planted.texts, ensure_ascii=False), encoding="utf-8")
        contestants = {
            "ours": _turn(planted, texts, ours=True),
            "floor": _turn(planted, texts, ours=False),
        }
        rounds = await run.interleaved(SPEED, contestants, seconds=SECONDS, steady=[SPEED])
    names = " and ".join(kind.name for kind in kinds)
    note = (
        f"{len(planted.texts):,} texts of {names} ({origin()}), "
        f"{len(planted.near):,} true pairs; {_recalls(planted, rounds)}"
    )
    return [
        rounds.line(
            one,
            one,
            unit=UNITS[one],
            against="datasketch",
            goal=GOALS[one],
            note=f"datasketch {rounds.median('floor', one):,.4g}; {note}",
        )
        for one in IDS
        if one in run.wanted
    ]


def _turn(planted: Planted, texts: Path, *, ours: bool) -> Measure:
    async def measure_once() -> Figures:
        result = texts.with_name("result.json")
        arguments = (str(texts), str(result), str(THRESHOLD))
        if ours:
            await run_module("near_duplicates", *arguments)
        else:
            await run_script(DATATROVE, "rival_datasketch", *arguments, cache=texts.parent)
        answer = json.loads(result.read_text())
        found = judge(planted, answer["leaders"])
        return {
            SPEED: len(planted.texts) / answer["seconds"],
            RECALL: found.recall,
            PRECISION: found.precision,
            **{_rate(rate): recall for rate, recall in found.by_rate.items()},
        }

    return measure_once


def _rate(rate: float) -> str:
    return f"{rate:.0%}"


def _recalls(planted: Planted, rounds: Rounds) -> str:
    """Recall of the planted pairs by their rate."""
    told = []
    for rate in RATES:
        name, pairs = _rate(rate), len(planted.near_copies(rate))
        if pairs:
            ours, theirs = (rounds.median(side, name) for side in ("ours", "floor"))
            told.append(f"{name} edited: {ours:.4f} of {pairs:,} (datasketch {theirs:.4f})")
    return ", ".join(told)


GROUP = Group(IDS, measure, SECONDS)
