"""Every test that is collected is in exactly one tier, and each tier has some."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from modelmill_testkit.tiers import TIERS

ROOT = Path(__file__).parents[2]


def test_every_collected_test_is_in_exactly_one_tier() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "--collect-only", "-q", "--show-tiers"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    lines = run.stdout.splitlines()
    shown = [line.removeprefix("tier ").split(" ", 1) for line in lines if line[:5] == "tier "]
    times = Counter(nodeid for _, nodeid in shown)

    # What is left out or twice would run in no target of make, or in two.
    assert [nodeid for nodeid, count in times.items() if count != 1] == []
    [collected] = re.findall(r"^(\d+) tests collected", run.stdout, re.MULTILINE)
    assert len(shown) == int(collected)
    assert {tier for tier, _ in shown} == set(TIERS)
