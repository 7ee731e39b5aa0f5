"""guard.mbs.<rival>: megabytes of text that are judged in a second, by 10,100 rules.

Value: MB (10^6 bytes as UTF-8) a second of `CompiledPolicy.check` on a text of both languages, a
keyword planted every 2,000 characters, all rules masking, normalisation and masks included, one
thread, policy compiled and warm. All sides find at least what was planted, else there is no
figure.

.re: over Python's `re`, one alternation of all keywords of a language, on the normalised text,
whose making is not counted; a text of 16,000 characters, as it would take minutes otherwise.
.ac: over pyahocorasick for keywords and google-re2 for patterns, on the NFKC form, whose making is
counted; whole words are looked at one by one. Undoes no other disguise.
.hyperscan: over hyperscan, all rules in one database, on the bytes of the normalised text, whose
making is not counted: the roof of what this processor can search.
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from modelmill_guard.normalise import normalise
from modelmill_guard.verdict import Direction

from tests.bench.figures import Figures, Goal, Line, Unmeasured
from tests.bench.guard_texts import ENGLISH_KEYWORDS, keywords, large_policy, patterns
from tests.bench.guard_texts import text as planted_text
from tests.bench.harness import Group, Measure, Run
from tests.bench.prep_jobs import run_script
from tests.bench.rivals import MATCHERS, absence, is_installed

RATE = "MB/s"
SIDES = ("re", "ac", "hyperscan")
GOALS = {"re": Goal(10.0, at_least=True), "ac": None, "hyperscan": None}
CHARACTERS = {"re": 16_000, "ac": 300_000, "hyperscan": 300_000}
AGAINST = {"re": "Python re", "ac": "pyahocorasick and re2", "hyperscan": "hyperscan"}
SECONDS = {"re": 60.0, "ac": 40.0, "hyperscan": 80.0}
IDS = tuple(f"guard.mbs.{side}" for side in SIDES)


class MissedError(Exception):
    """A side found less than was planted."""


async def measure(run: Run) -> list[Line]:
    """One entry for each rival."""
    lines: list[Line] = []
    for side, entry_id in zip(SIDES, IDS, strict=True):
        if entry_id not in run.wanted:
            continue
        if not is_installed(MATCHERS):
            lines.append(Unmeasured(entry_id, absence(MATCHERS), True))
            continue
        try:
            lines.append(await _beside(run, side, entry_id))
        except MissedError as missed:
            lines.append(Unmeasured(entry_id, f"not measured: {missed}"))
    return lines


async def _beside(run: Run, side: str, entry_id: str) -> Line:
    text, planted = planted_text(run.pick(CHARACTERS[side], 4_000))
    with TemporaryDirectory() as place:
        asked = Path(place) / "asked.json"
        asked.write_text(json.dumps(_question(side, text), ensure_ascii=False), encoding="utf-8")
        contestants = {
            "ours": _ours(text, planted),
            "floor": _rival(side, asked, text, planted),
        }
        rounds = await run.interleaved(entry_id, contestants, seconds=SECONDS[side], steady=[RATE])
    theirs = rounds.median("floor", RATE)
    note = f"{AGAINST[side]} {theirs:,.4g} MB/s; {len(text.encode()):,} bytes, {planted} planted"
    return rounds.line(
        entry_id, RATE, unit=RATE, against=AGAINST[side], goal=GOALS[side], note=note
    )


def _question(side: str, text: str) -> dict[str, object]:
    """Text and keywords as the side compares them."""
    as_compared = _as_it_is if side == "ac" else normalise
    words = [as_compared(keyword) for keyword in keywords()]
    return {
        "english": words[:ENGLISH_KEYWORDS],
        "chinese": words[ENGLISH_KEYWORDS:],
        "patterns": patterns(),
        "text": as_compared(text),
    }


def _as_it_is(text: str) -> str:
    return text


def _ours(text: str, planted: int) -> Measure:
    size = len(text.encode())

    async def measure_once() -> Figures:
        policy = large_policy()
        policy.check(text[:1000], Direction.INPUT)
        began = time.perf_counter()
        verdict = policy.check(text, Direction.INPUT)
        seconds = time.perf_counter() - began
        _hold("ours", len(verdict.matches), planted)
        return {RATE: size / seconds / 1e6}

    return measure_once


def _rival(side: str, asked: Path, text: str, planted: int) -> Measure:
    size = len(text.encode())

    async def measure_once() -> Figures:
        result = asked.with_name("result.json")
        arguments = (side, str(asked), str(result))
        await run_script(MATCHERS, "rival_matchers", *arguments, cache=asked.parent)
        answer = json.loads(result.read_text())
        _hold(AGAINST[side], answer["found"], planted)
        return {RATE: size / answer["seconds"] / 1e6}

    return measure_once


def _hold(side: str, found: int, planted: int) -> None:
    if found < planted:
        raise MissedError(f"{side} found {found} of {planted} planted keywords")


GROUP = Group(IDS, measure, sum(SECONDS.values()))
