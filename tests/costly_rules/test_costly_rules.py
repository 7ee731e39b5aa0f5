"""The drill in short: one tenant's costly rules leave another tenant's chats alone."""

from pathlib import Path

import pytest

from tests.costly_rules.drill import EVERYWHERE, PATTERNS, Beside, costly_beside

SHORT_RATIO = 10.0
"""On a machine with other work; where rules hold up the loop it is beyond 50."""


@pytest.mark.parametrize("patterns", [PATTERNS, EVERYWHERE])
async def test_costly_rules_of_one_tenant_leave_anothers_chats_alone(
    tmp_path: Path, patterns: tuple[str, ...]
) -> None:
    run = await costly_beside(tmp_path, patterns, seconds=2.0)
    assert run.refused == []
    assert run.costly > 0
    assert run.ratio < SHORT_RATIO


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"beside": [0.0016]}, "p50 is 1.60 times"),
        ({"beside": [0.001, 0.001, 0.3]}, "the longest took 0.300 s"),
        ({"costly": 0}, "nothing costly was answered"),
        ({"refused": ["503"]}, "other ends: ['503']"),
    ],
)
def test_a_broken_promise_is_told(broken: dict[str, object], said: str) -> None:
    kept = Beside(alone=[0.001], beside=[0.0014], costly=1)
    assert kept.broken_promises() == []
    for name, value in broken.items():
        setattr(kept, name, value)
    (line,) = kept.broken_promises()
    assert said in line
