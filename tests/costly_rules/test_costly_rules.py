"""The drill in short: one tenant's costly rules leave another tenant's chats alone."""

from collections import Counter
from pathlib import Path

import pytest

from tests.costly_rules.drill import CHEAP, COSTLY, EVERYWHERE, PATTERNS, Turns, turns_of
from tests.costly_rules.report import entries, p50

SHORT_RATIO = 10.0
"""On a machine with other work; where rules hold up the loop it is beyond 50."""
SHORT_SECONDS = 12.0
"""Of each turn, in four rounds, at whose end callers leave: a costly text takes a second or two."""


@pytest.mark.alone
@pytest.mark.parametrize("patterns", [PATTERNS, EVERYWHERE])
async def test_costly_rules_of_one_tenant_leave_anothers_chats_alone(
    tmp_path: Path, patterns: tuple[str, ...]
) -> None:
    turns = await turns_of(tmp_path, patterns, SHORT_SECONDS)
    assert turns.refused == []
    assert turns.answered[COSTLY] > 0
    assert turns.answered[CHEAP] > 0
    assert p50(turns.beside) < SHORT_RATIO * p50(turns.alone)


@pytest.mark.parametrize(
    ("broken", "missed"),
    [
        ({}, []),
        ({"beside": [[0.0016]]}, ["costly.kind.alone"]),
        ({"floor": [[0.0009]]}, ["costly.kind.floor"]),
        ({"beside": [[0.001, 0.001, 0.3]]}, ["costly.kind.longest"]),
        ({"answered": Counter()}, ["costly.kind.failures"]),
        ({"refused": ["503"]}, ["costly.kind.failures"]),
    ],
)
def test_each_goal_can_be_missed(broken: dict[str, object], missed: list[str]) -> None:
    turns = Turns([[0.001]], [[0.0014]], [[0.0014]], Counter({COSTLY: 1, CHEAP: 9}))
    for name, value in broken.items():
        setattr(turns, name, value)
    assert [line.id for line in entries("kind", turns) if line.met is False] == missed
