"""Least privilege on a real broker: everybody tries everything."""

import asyncio
import json
from pathlib import Path

import pytest
from jobs.bus import Bus
from jobs.deploy import make_streams
from jobs.errors import NotAllowedError
from jobs.identities import Identities
from jobs.subjects import MODEL_READY, policy_state
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from testkit.nats_server import run_nats
from testkit.waiting import eventually

from tests.identities.matrix import Prober, try_everything


async def test_the_broker_allows_each_identity_what_the_table_declares_and_nothing_else(
    tmp_path: Path,
):
    verdict = await try_everything(tmp_path)

    assert verdict.differences == ()
    assert verdict.cases > 3000
