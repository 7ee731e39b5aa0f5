"""The drill in short; what its oracle finds is in `test_oracle.py`."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledger.drill import Form, drill
from tests.ledger.oracle import wrongs

FORGETFUL = "tests.ledger.forgetful_gateway"
SHORT = Form(streams=24, calm_seconds=3, kill_seconds=8, wide=True)


@pytest.mark.timeout(480)
async def test_no_limit_is_exceeded_while_replicas_are_killed(tmp_path: Path):
    run = await drill(tmp_path, SHORT)

    assert run.kills > 0
    assert run.broker_kills == 1
    assert run.total("requests") > run.streams
    wrong = {tenant: wrongs(each) for tenant, each in run.tenants.items()}
    assert not any(wrong.values()), wrong


@pytest.mark.timeout(480)
async def test_keys_that_a_key_made_exceed_nothing_together(tmp_path: Path):
    run = await drill(tmp_path, replace(SHORT, wide=False, trees=True))

    assert run.kills > 0
    assert run.total("requests") > run.streams
    assert run.total("refused") > 0
    wrong = {name: wrongs(each) for name, each in run.tenants.items()}
    assert not any(wrong.values()), wrong


@pytest.mark.timeout(480)
async def test_a_gateway_that_charges_no_makers_is_found_out(tmp_path: Path):
    form = replace(SHORT, kill_seconds=4, wide=False, trees=True, module=FORGETFUL)
    run = await drill(tmp_path, form)

    assert wrongs(run.tenants["grove root"])
