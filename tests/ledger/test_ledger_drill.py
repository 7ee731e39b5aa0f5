"""The drill in short; what its oracle finds is in `test_oracle.py`."""

from pathlib import Path

import pytest

from tests.ledger.drill import Form, drill
from tests.ledger.oracle import wrongs


@pytest.mark.timeout(480)
async def test_no_limit_is_exceeded_while_replicas_are_killed(tmp_path: Path):
    run = await drill(tmp_path, Form(streams=24, calm_seconds=3, kill_seconds=8, wide=True))

    assert run.kills > 0
    assert run.broker_kills == 1
    assert run.total("requests") > run.streams
    wrong = {tenant: wrongs(each) for tenant, each in run.tenants.items()}
    assert not any(wrong.values()), wrong
