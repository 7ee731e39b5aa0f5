"""Streams of an earlier release are brought to the table, and keep their limits."""

from pathlib import Path

import nats
from jobs.streams import ensure_streams
from nats.js import api
from testkit.nats_server import run_nats


async def test_a_subject_that_moved_to_another_stream_leaves_the_old_one(tmp_path: Path):
    async with run_nats(tmp_path) as broker:
        client = await nats.connect(broker.url, token=broker.token)
        js = client.jetstream()
        old = ["alias.state.*.*", "budget.state.*", "key.state.*"]
        await js.add_stream(api.StreamConfig(name="CONFIG", subjects=old, max_bytes=5_000_000))

        await ensure_streams(js)

        config, budgets = await js.stream_info("CONFIG"), await js.stream_info("BUDGETS")
        assert "budget.state.*" not in (config.config.subjects or [])
        assert "policy.state.*" in (config.config.subjects or [])
        assert config.config.max_bytes == 5_000_000
        assert budgets.config.subjects == ["budget.state.*"]
        await client.close()
