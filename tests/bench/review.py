"""review.*: what attackers found.

    python -m tests.bench.review [--only GROUP ...] [--keep]

- `review.attacks`: attacks that were tried, run or read; `review.attacks.SEVERITY`: findings of
  each severity that are left, over those before, by the ledger of deploy/bench/attacks.yaml, which
  people wrote. The goal is 0 above low.

`--keep` writes deploy/bench/review.json.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups

RESULT = Path("deploy/bench/review.json")
ATTACKS = Path("deploy/bench/attacks.yaml")
SEVERITIES = ("critical", "high", "medium", "low")
NONE = "none"
ALLOWED = "low"


def attack_entries() -> list[Entry]:
    """Of the ledger."""
    ledger = YAML(typ="safe").load(ATTACKS.read_text(encoding="utf-8"))
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


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.review", {"attacks": attack_entries}, RESULT))
