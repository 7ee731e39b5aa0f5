"""lookup.*: what drafting by prompt lookup gives, and that it does not change what is said.

    BENCH_DATA=FOLDER python -m tests.bench.lookup [--only GROUP ...] [--keep]

SmolLM2-135M-Instruct's int8 build in the engine's own runner, opened with drafts and without.
Prompts, of WordNet's glosses: `copy` asks to repeat a list, `chat` asks about passages that are
given, `prose` asks for a story. Nobody's real chats are at hand.

`lookup.speed.KIND.N`: tokens/s of N greedy requests that are begun together, as an engine serves
them over without drafts, by turns; the interval resamples rounds. Beside others nobody drafts, and
alone only if that was faster of late, so the goal is that it costs nothing; `mixed` asks one kind
after the other. `lookup.always.KIND`: the same where each request alone drafts;
`lookup.accepted.KIND`: share of its answers' tokens that were drafted. `lookup.same.PRECISION`:
prompts with the same answer without drafts and with each request drafting, in float32 (`exact`,
where the goal is all) and as engines compute by default. `lookup.memory`: MB that a side adds to a
process, having answered, with drafts over without. `--keep` writes deploy/bench/compression.json.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from modelmill_inference.adapters.openvino import EXACT, PipelineOptions
from modelmill_inference.children.openvino import OpenVinoRunner
from modelmill_inference.children.openvino_lookup import DraftChoice
from modelmill_inference.domain.generation import GenerationRequest
from modelmill_optimizer_builder.domain.prompt_lookup import (
    LookupRound,
    LookupTrial,
    generation_fields,
)
from modelmill_service_kit.machine_size import resident_memory
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from rich.console import Console

from tests.bench.built_model import built_model
from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups

RESULT = Path("deploy/bench/compression.json")
KINDS = {
    "copy": "Repeat this list word by word:\n{list}",
    "chat": "Passages:\n{list}\n\nSummarise the passages in their own words.",
    "prose": "Write a short story about this: {one}",
}
MIXED = "mixed"
IN_FLIGHT = {1: 48, 8: 6, 32: 4}
"""Rounds by the requests in flight."""
ALWAYS = 16
"""Rounds in which each request drafts."""
GLOSSES, NEW_TOKENS = 8, 64
SAME_PROMPTS, SAME_TOKENS = 500, 32
COSTS_NOTHING = 0.95
ENDS = [2]


@dataclass(frozen=True)
class Ran:
    """Requests that were begun together, to the end of the last."""

    tokens: dict[int, list[int]]
    accepted: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return sum(map(len, self.tokens.values())) / self.seconds


class EachDrafts(DraftChoice):
    """Whatever it costs."""

    def drafts(self) -> bool:
        """Always."""
        return True


class Side:
    """The build in a runner, with drafts or without."""

    def __init__(
        self, folder: Path, properties: dict[str, str], choice: DraftChoice | None = None
    ) -> None:
        load = PipelineOptions(properties=properties).load_message()
        self._runner = OpenVinoRunner(load | {"folder": str(folder)}, choice)
        self._numbers = count(1)

    def answer(self, prompts: Sequence[list[int]], new_tokens: int) -> Ran:
        """Answer greedily."""
        began = time.perf_counter()
        tokens: dict[int, list[int]] = {}
        for prompt in prompts:
            number = next(self._numbers)
            tokens[number] = []
            request = GenerationRequest(tuple(prompt), new_tokens, may_gather=True, tenant="bench")
            self._runner.add(asdict(request) | {"id": number, "eos_ids": ENDS})
        accepted = 0
        while self._runner.busy:
            for update in self._runner.step():
                tokens[update.number] += update.tokens
                accepted += update.accepted
        return Ran(tokens, accepted, time.perf_counter() - began)


class LookupBench:
    """Both sides of the build, made and opened when they are first asked for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        model = asyncio.run(built_model(self))
        self._plain = model.int8
        self._tokenizer = ChatTokenizer.load(model.base)
        self._drafting = self._plain.with_name("drafting")
        shutil.rmtree(self._drafting, ignore_errors=True)
        shutil.copytree(self._plain, self._drafting, copy_function=os.link)
        said = self._drafting / "generation_config.json"
        config = json.loads(said.read_text(encoding="utf-8"))
        said.unlink()
        said.write_text(json.dumps(config | dict(generation_fields())), encoding="utf-8")
        with (Path(os.environ["BENCH_DATA"]) / "wordnet_nouns.jsonl").open() as lines:
            self._glosses = [json.loads(line)["gloss"] for line in lines]

    def say(self, what: str) -> None:
        """What goes on."""
        self._console.print(what)

    def sides(self, properties: dict[str, str] | None = None) -> tuple[Side, Side]:
        """Without drafts, and with each request drafting."""
        said = properties or {}
        return Side(self._plain, said), Side(self._drafting, said, EachDrafts())

    def prompts(self, kind: str, seed: int) -> Iterator[list[int]]:
        """Without end, each another one."""
        chance = Random(f"{kind} {seed}")
        while True:
            some = chance.sample(self._glosses, GLOSSES)
            text = KINDS[kind].format(list="\n".join(f"- {it}" for it in some), one=some[0])
            yield self._tokenizer.encode_prompt([{"role": "user", "content": text}])

    def speed(self) -> list[Entry]:
        """Of each kind of prompt, with so many in flight."""
        plain, always = self.sides()
        lines = []
        for kind in (*KINDS, MIXED):
            served = Side(self._drafting, {})
            for in_flight, rounds in IN_FLIGHT.items():
                if kind == MIXED and in_flight > 1:
                    continue
                self.say(f"{kind}, {in_flight} in flight")
                asked = self.asked(kind, in_flight, rounds)
                turns = _turns([plain, served], asked)
                lines.append(_speed(f"lookup.speed.{kind}.{in_flight}", turns, goal=COSTS_NOTHING))
                if in_flight == 1 and kind != MIXED:
                    turns = _turns([plain, always], asked[: ALWAYS + 1])
                    lines.append(_speed(f"lookup.always.{kind}", turns))
                    lines.append(_accepted(kind, [turn[1] for turn in turns]))
        return lines

    def asked(self, kind: str, in_flight: int, rounds: int) -> list[list[list[int]]]:
        """Prompts of each round, of which the first is a warm-up."""
        kinds = [*KINDS] if kind == MIXED else [kind]
        prompts = [self.prompts(each, in_flight) for each in kinds]
        return [
            [next(prompts[number % len(prompts)]) for _ in range(in_flight)]
            for number in range(rounds + 1)
        ]

    def same(self) -> list[Entry]:
        """Answers with drafts beside those without."""
        lines = []
        for name, properties in (("exact", dict(EXACT)), ("default", {})):
            plain, drafting = self.sides(properties)
            sources = [self.prompts(kind, 0) for kind in KINDS]
            found = drafted = 0
            for number in range(SAME_PROMPTS):
                if number % 50 == 0:
                    self.say(f"{name}: {number} of {SAME_PROMPTS} prompts, {found} the same")
                prompt = [next(sources[number % len(sources)])]
                answers = [side.answer(prompt, SAME_TOKENS) for side in (plain, drafting)]
                ids = [[*each.tokens.values()] for each in answers]
                found += ids[0] == ids[1]
                drafted += answers[1].accepted
            share, is_exact = found / SAME_PROMPTS, name == "exact"
            lines.append(
                Entry(
                    *(f"lookup.same.{name}", found, "answers", f"{SAME_PROMPTS} without", share),
                    *("all" if is_exact else "", share == 1 if is_exact else None),
                    *((share, share), f"{drafted} tokens were drafted"),
                )
            )
        return lines

    def memory(self) -> list[Entry]:
        """Of a process that opened one side after the other."""
        prompt = [next(self.prompts("copy", 1))]
        before = resident_memory(os.getpid())
        plain = Side(self._plain, {})
        plain.answer(prompt, NEW_TOKENS)
        without = resident_memory(os.getpid()) - before
        drafting = Side(self._drafting, {})
        drafting.answer(prompt, NEW_TOKENS)
        taken = resident_memory(os.getpid()) - before - without
        ratio = taken / without
        note = "what each added to one process"
        return [
            Entry(
                *("lookup.memory", taken / 1e6, "MB", f"{without / 1e6:.0f} without", ratio),
                *("", None, (ratio, ratio), note),
            )
        ]


def _turns(sides: Sequence[Side], asked: Sequence[Sequence[list[int]]]) -> list[list[Ran]]:
    """What each side made of each round's prompts, one side after the other."""
    return [[side.answer(each, NEW_TOKENS) for side in sides] for each in asked][1:]


def _speed(name: str, turns: Sequence[Sequence[Ran]], goal: float | None = None) -> Entry:
    trial = LookupTrial([LookupRound(without.rate, drafting.rate) for without, drafting in turns])
    gain = trial.speedup
    drafted = sum(turn[1].accepted > 0 for turn in turns)
    return Entry(
        id=name,
        value=sum(turn[1].rate for turn in turns) / len(turns),
        unit="tokens/s",
        against="the same without drafts",
        ratio=gain.value,
        goal="" if goal is None else f"ratio >= {goal:g}",
        met=None if goal is None else gain.value >= goal,
        ci95=(gain.low, gain.high),
        note=f"{drafted} of {len(turns)} rounds drafted",
    )


def _accepted(kind: str, answers: Sequence[Ran]) -> Entry:
    tokens = sum(len(each) for one in answers for each in one.tokens.values())
    share = sum(each.accepted for each in answers) / tokens
    note = f"of {tokens} tokens of {len(answers)} answers"
    return Entry(
        *(f"lookup.accepted.{kind}", share, "share", "all tokens", share, ""),
        *(None, (share, share), note),
    )


def main() -> int:
    """Exit status: 1 when a goal is missed."""
    bench: Any = None

    def group(name: str) -> Any:
        def measure() -> Sequence[Entry]:
            nonlocal bench
            bench = bench or LookupBench(Console(stderr=True))
            lines: Sequence[Entry] = getattr(bench, name)()
            return lines

        return measure

    names = ("memory", "speed", "same")
    return run_groups("tests.bench.lookup", {name: group(name) for name in names}, RESULT)


if __name__ == "__main__":
    sys.exit(main())
