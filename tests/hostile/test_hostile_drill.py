"""A short form of the drill, and that its entries can be missed."""

from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.drill import Outcome, Turn, drill
from tests.hostile.report import entries
from tests.hostile.site import running_site

NAMES = ["template: power", "sleeper: nested loops", "sleeper: long string"]


def outcome(*, slower: float, wait: float, failed: int, cpu: float) -> Outcome:
    alone = Turn([0.1] * 200, [0.01] * 200)
    beside = Turn([0.1 * slower] * 200, [0.01] * 199 + [wait], Counter(UNAVAILABLE=failed))
    return Outcome(alone, beside, attack_seconds=60.0, hostile_cpu_seconds=cpu)


@pytest.mark.parametrize(
    ("given", "missed"),
    [
        ({"slower": 1.9, "wait": 1.9, "failed": 0, "cpu": 80.0}, []),
        ({"slower": 2.1, "wait": 1.9, "failed": 0, "cpu": 80.0}, ["hostile.p99"]),
        ({"slower": 1.9, "wait": 2.1, "failed": 0, "cpu": 80.0}, ["hostile.wait"]),
        ({"slower": 1.9, "wait": 1.9, "failed": 1, "cpu": 80.0}, ["hostile.failures"]),
        ({"slower": 1.9, "wait": 1.9, "failed": 0, "cpu": 90.0}, ["hostile.cpu"]),
    ],
)
def test_each_goal_can_be_missed(given: dict[str, float], missed: list[str]) -> None:
    assert [line.id for line in entries(outcome(**given)) if not line.met] == missed  # type: ignore[arg-type]


@pytest.mark.heavy
async def test_others_are_served_beside_hostile_models(tmp_path: Path) -> None:
    async with running_site(tmp_path, NAMES) as site:
        found = await drill(site, seconds=4.0)

    lines = {line.id: line for line in entries(found)}
    assert found.loaded == 2
    assert found.attacks.keys() <= {"FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
    assert found.attacks["RESOURCE_EXHAUSTED"]
    assert lines["hostile.failures"].met, lines["hostile.failures"].note
    assert lines["hostile.cpu"].met, lines["hostile.cpu"].value
