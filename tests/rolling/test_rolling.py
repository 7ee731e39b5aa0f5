"""Services are replaced under load, in short form; `tests.bench.rolling` has the long one."""

import pytest

from tests.rolling.drill import under_load

pytestmark = [pytest.mark.timeout(300), pytest.mark.tier("drills")]


async def test_replaced_services_drop_no_chat_no_stream_and_no_job():
    async with under_load() as drill:
        before = drill.pids()
        replaced = await drill.replace(["inference", "data_prep", "gateway"])
        after = drill.pids()
        await drill.load.more(2)
        await drill.load.stop()
        tally = drill.load.tally

    assert replaced == ["inference", "data_prep", "gateway"]
    assert {name for name in before if before[name] != after[name]} == set(replaced)
    assert (tally.failed, tally.lost) == ([], [])
    assert tally.jobs
