"""`python -m tests.guard.independent.measure`: recall by class of disguise, and false positives.

Recall: of disguised phrases of the default policy in a sentence, the share in which a rule blocks
that also blocks the plain phrase. False positives: of harmless texts, those in which any rule of
the policy that judges meaning blocks, masks or flags (detectors of addresses and keys are not part
of this question). Goals: 0.9 for each mechanical class, 0.7 for each Chinese one, at most 3 of
3,000. Each interval is Wilson's, 95 %.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import NormalDist

import yaml
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction

from tests.guard.independent import chinese, latin
from tests.guard.independent.harmless import harmless
from tests.run_record import circumstances, keep

ROOT = Path(__file__).parents[3]
POLICIES = ROOT / "services/moderation/src/modelmill_moderation/policies"
KEPT = ROOT / "deploy/guard/independent.json"
BEFORE = ("", "Please: ", "I wonder, ", "My uncle asked me about\n", "(", "请问")
AFTER = ("", ".", " ok?", "\nThanks", ")", "。")
EACH = 200
"""Texts of each class."""
MECHANICAL_GOAL, CHINESE_GOAL, FALSE_GOAL = 0.9, 0.7, 3


@dataclass(frozen=True)
class Recall:
    """Of one class: what was found of how many, and what was not."""

    name: str
    goal: float
    found: int
    many: int
    missed: tuple[str, ...]

    @property
    def value(self) -> float:
        """Its share."""
        return self.found / self.many

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        z, n, p = NormalDist().inv_cdf(0.975), self.many, self.value
        middle, width = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


@cache
def _policy() -> CompiledPolicy:
    files = {path.name: path.read_text("utf-8") for path in sorted(POLICIES.glob("*.yaml"))}
    return CompiledPolicy.from_bundle(compile_policy(parse_policy(files)).content)


def rules_of(text: str) -> set[str]:
    """Rules that match."""
    return {match.rule_id for match in _policy().check(text, Direction.INPUT).matches}


def phrases() -> Iterator[str]:
    """English keywords that block, and Latin letters only."""
    for rule in yaml.safe_load((POLICIES / "en.yaml").read_text("utf-8"))["rules"]:
        if rule["action"] == "block":
            yield from rule.get("keywords", ())


def recalls(seed: int, each: int = EACH) -> list[Recall]:
    """Every class of both languages."""
    return [recall_of(name, seed, each) for name in (*latin.CLASSES, *chinese.CLASSES)]


def recall_of(name: str, seed: int, each: int = EACH) -> Recall:
    """One class, on so many texts."""
    if name in chinese.CLASSES:
        return _recall(name, chinese.CLASSES[name], chinese.PHRASES, seed, each)
    return _recall(name, latin.CLASSES[name], tuple(phrases()), seed, each)


def _recall(
    name: str, disguise: latin.Disguise, plain: tuple[str, ...], seed: int, each: int
) -> Recall:
    random, found, missed = Random(f"{seed} {name}"), 0, []
    while found + len(missed) < each:
        phrase = random.choice(plain)
        disguised = disguise(phrase, random)
        if disguised == phrase:
            continue
        text = random.choice(BEFORE) + disguised + random.choice(AFTER)
        if rules_of(text) & rules_of(phrase):
            found += 1
        else:
            missed.append(text)
    goal = CHINESE_GOAL if name in chinese.CLASSES else MECHANICAL_GOAL
    return Recall(name, goal, found, each, tuple(missed))


def false_positives(seed: int) -> list[tuple[str, str, str]]:
    """Kind, text and rules of each harmless text that a rule about meaning matches."""
    about_meaning = {
        rule["id"]
        for path in POLICIES.glob("*.yaml")
        for rule in yaml.safe_load(path.read_text("utf-8"))["rules"]
        if "detector" not in rule and rule["category"] != "secrets"
    }
    return [
        (kind, text, " ".join(sorted(rules)))
        for kind, text in harmless(seed)
        if (rules := rules_of(text) & about_meaning)
    ]


def main() -> None:
    """Print a line for each class; `--keep` makes the run the repository's last one."""
    parser = argparse.ArgumentParser(prog="python -m tests.guard.independent.measure")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--missed", action="store_true", help="some texts that were judged wrongly")
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    asked = parser.parse_args()
    entries = []
    for one in recalls(asked.seed):
        low, high = one.interval
        met = one.value >= one.goal
        print(
            f"{one.name:24}{one.value:7.3f} ({low:.3f}..{high:.3f})  {'met' if met else 'MISSED'}"
        )
        entries.append(
            _entry(f"guard.independent.{one.name}", one.value, one.goal, met, (low, high))
        )
        if asked.missed:
            print(*(f"    {text!r}" for text in one.missed[:5]), sep="\n")
    wrong = false_positives(asked.seed)
    print(f"{'false positives':24}{len(wrong):7} of 3000")
    for kind, text, rules in wrong:
        print(f"    {kind} {rules}: {text[:100]!r}")
    met = len(wrong) <= FALSE_GOAL
    entries.append(_entry("guard.independent.false", len(wrong), FALSE_GOAL, met, None))
    if asked.keep:
        run = {**circumstances(["google-re2"]), "seed": asked.seed, "entries": entries}
        keep(run, [], KEPT)


def _entry(
    name: str, value: float, goal: float, met: bool, interval: tuple[float, float] | None
) -> dict[str, object]:
    return {
        "id": name, "value": value, "unit": "share" if interval else "texts of 3000",
        "against": None, "ratio": None, "goal": goal, "met": met, "ci95": interval, "note": "",
    }  # fmt: skip


if __name__ == "__main__":
    main()
