"""review.*: what users and attackers found who had not written the parts.

    python -m tests.bench.review [--only GROUP ...] [--keep]

- `review.attacks`: attacks that were tried, run or read; `review.attacks.SEVERITY`: findings of
  each severity that are left, over those before, by the ledger of deploy/bench/attacks.yaml, which
  people wrote. The goal is 0 above low.
- `review.journey.NAME`: blocking points that are left on a user's way, over those found, by the
  ledger of deploy/bench/journeys.yaml; the goal is 0. `review.journey.NAME.minutes`: to the first
  success, of who walked it last. `review.journey.NAME.findings`: what is left of all findings.
- `review.figures.CHANGE`: kept figures beside those of release 0.1.0: improved, unchanged, worse,
  not renewed, new, or of two past commits. The goal is 0 worse; those that are worse or not renewed
  stand in the note.
- `review.runs.TARGET.PYTHON`: runs of `make TARGET` in an empty clone without a failure, over all,
  by the ledger of deploy/bench/runs.yaml. The goal is three, and none with a failure.
- `review.lines.KIND`: lines added since then, over those removed, of code, tests and the rest;
  generated ones are left out.

`--keep` writes deploy/bench/review.json.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.bench.figures import Entry
from tests.bench.kept_changes import (
    FIRST_RELEASE,
    IMPROVED,
    NEW,
    NOT_RENEWED,
    PAST,
    UNCHANGED,
    WORSE,
    changes,
    figures_at,
    figures_now,
    lines_since,
)
from tests.bench.kept_entries import run_groups

RESULT = Path("deploy/bench/review.json")
ATTACKS = Path("deploy/bench/attacks.yaml")
SEVERITIES = ("critical", "high", "medium", "low")
JOURNEYS = Path("deploy/bench/journeys.yaml")
RUNS = Path("deploy/bench/runs.yaml")
RUN_TARGETS, RUN_PYTHONS, LEAST_RUNS = ("demo", "test", "release-check"), ("3.11", "3.13"), 3
BLOCKING = "blocking"
MINDED = (BLOCKING, "bad", "small")
NONE = "none"
ALLOWED = "low"
NAMED = (WORSE, NOT_RENEWED)
"""Changes whose figures stand in the note."""


def attack_entries() -> list[Entry]:
    """Of the ledger."""
    ledger = _ledger(ATTACKS)
    tried = ledger["attacks"]
    findings = ledger["findings"]
    before, after = (Counter(one[when] for one in findings) for when in ("before", "after"))
    unknown = {*before, *after} - {*SEVERITIES, NONE}
    if unknown:
        raise ValueError(f"{ATTACKS}: unknown severities {sorted(unknown)}")
    words = "; ".join(f"{area}: {count}" for area, count in tried.items())
    whole = Entry(
        *("review.attacks", float(sum(tried.values())), "attacks", "none", 1.0),
        *("", None, (1.0, 1.0), words),
    )
    return [whole, *(_left(one, before, after, findings) for one in SEVERITIES)]


def _left(
    severity: str, before: Counter[str], after: Counter[str], findings: list[dict[str, Any]]
) -> Entry:
    share = after[severity] / max(before[severity], 1)
    is_bounded = severity != ALLOWED
    left = ", ".join(one["name"] for one in findings if one["after"] == severity)
    return Entry(
        id=f"review.attacks.{severity}",
        value=after[severity],
        unit="findings left",
        against=f"{before[severity]} before",
        ratio=share,
        goal="0" if is_bounded else "",
        met=after[severity] == 0 if is_bounded else None,
        ci95=(share, share),
        note=f"left: {left or 'none'}",
    )


def journey_entries() -> list[Entry]:
    """Of the ledger of journeys, three each."""
    return [entry for one in _ledger(JOURNEYS)["journeys"] for entry in walked(one)]


def walked(journey: dict[str, Any]) -> list[Entry]:
    """What a journey found, and what is left of it.

    Raises:
        ValueError: A severity that is none.
    """
    findings = journey["findings"]
    found, left = (Counter(one[when] for one in findings) for when in ("before", "after"))
    if unknown := {*found, *left} - {*MINDED, NONE}:
        raise ValueError(f"{JOURNEYS}: {journey['name']}: unknown severities {sorted(unknown)}")
    name, walks = f"review.journey.{journey['name']}", journey["minutes"]
    words = ", ".join(f"{found[one]} {one}, {left[one]} left" for one in MINDED)
    blocking, all_left = left[BLOCKING] / max(found[BLOCKING], 1), len(findings) - left[NONE]
    share = all_left / max(len(findings), 1)
    longer = walks[-1] / walks[0]
    return [
        Entry(
            *(name, left[BLOCKING], "blocking points left", f"{found[BLOCKING]} before", blocking),
            *("0", left[BLOCKING] == 0, (blocking, blocking), journey["who"]),
        ),
        Entry(
            *(f"{name}.minutes", walks[-1], "minutes", f"{walks[0]} of the first walk", longer),
            *("", None, (longer, longer), f"{journey['success']}; {len(walks)} walks"),
        ),
        Entry(
            *(f"{name}.findings", all_left, "findings left", f"{len(findings)} before", share),
            *("", None, (share, share), words),
        ),
    ]


def run_entries() -> list[Entry]:
    """Of the ledger of runs, one for each target and Python."""
    ledger = _ledger(RUNS)["runs"]
    return [ran(target, one, ledger) for target in RUN_TARGETS for one in RUN_PYTHONS]


def ran(target: str, python: str, ledger: Sequence[Mapping[str, Any]]) -> Entry:
    """What the runs of a target on a Python ended with."""
    runs = [one for one in ledger if (one["target"], str(one["python"])) == (target, python)]
    passed = sum(not one["failed"] for one in runs)
    share = passed / max(len(runs), 1)
    told = [f"{one['commit']} {one['minutes']:g} min: {one['failed'] or 'passed'}" for one in runs]
    return Entry(
        *(f"review.runs.{target.replace('-', '_')}.{python}", passed, "runs without a failure"),
        *(f"{len(runs)} runs", share, f"{LEAST_RUNS}, and all"),
        *(passed == len(runs) and passed >= LEAST_RUNS, (share, share), "; ".join(told)),
    )


def figure_entries() -> list[Entry]:
    """Of all kept figures."""
    found = changes(figures_at(FIRST_RELEASE), figures_now())
    entries = []
    for change in (IMPROVED, UNCHANGED, WORSE, NOT_RENEWED, PAST, NEW):
        names = sorted(name for name, one in found.items() if one == change)
        share, is_bounded = len(names) / len(found), change == WORSE
        entries.append(
            Entry(
                *(f"review.figures.{change.replace(' ', '_')}", len(names), "kept figures"),
                *(f"{len(found)} in all", share, "0" if is_bounded else ""),
                *(not names if is_bounded else None, (share, share)),
                ", ".join(names) if change in NAMED else "",
            )
        )
    return entries


def line_entries() -> list[Entry]:
    """Of everything that people wrote."""
    entries = []
    for kind, (added, removed) in lines_since(FIRST_RELEASE).items():
        ratio = added / max(removed, 1)
        name, against = f"review.lines.{kind}", f"{removed} removed since 0.1.0"
        entries.append(
            Entry(name, added, "lines added", against, ratio, "", None, (ratio, ratio), "")
        )
    return entries


def _ledger(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    groups = {
        "attacks": attack_entries,
        "journeys": journey_entries,
        "runs": run_entries,
        "figures": figure_entries,
        "lines": line_entries,
    }
    sys.exit(run_groups("tests.bench.review", groups, RESULT))
