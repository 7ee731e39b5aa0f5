"""Every collected test is in exactly one tier, and journeys lie where `make` looks for them.

Both are seen of the run that these tests are part of: in `make test` that is the whole tree.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
from modelmill_testkit.tiers import TIERS, Tiers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def assigned(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """Id and tier of each test of this run."""
    tiers = request.config.pluginmanager.get_plugin("modelmill-tiers")
    assert isinstance(tiers, Tiers)
    assert tiers.assigned
    return tiers.assigned


def test_every_collected_test_is_in_exactly_one_tier(assigned: list[tuple[str, str]]) -> None:
    times = Counter(nodeid for nodeid, _ in assigned)

    # What is left out or twice would run in no target of make, or in two.
    assert [nodeid for nodeid, count in times.items() if count != 1] == []
    assert {tier for _, tier in assigned} <= set(TIERS)


def test_make_journeys_collects_every_journey(assigned: list[tuple[str, str]]) -> None:
    found = re.search(r"^JOURNEYS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    folders = tuple(f"{folder}/" for folder in found[1].split())

    journeys = [nodeid for nodeid, tier in assigned if tier == "journeys"]
    assert [nodeid for nodeid in journeys if not nodeid.startswith(folders)] == []
