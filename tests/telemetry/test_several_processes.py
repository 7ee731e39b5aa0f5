"""A gateway of several processes, as Prometheus sees it: one target, all of its processes."""

import shutil
from pathlib import Path

import pytest
from modelmill_cli.keys import LocalKeys
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings
from modelmill_testkit.waiting import eventually

from tests.services.test_each_service_alone import settings_of_the_gateway
from tests.telemetry.dashboards import queries
from tests.telemetry.prometheus_server import Prometheus, run_prometheus


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's prometheus is missing")
async def test_prometheus_reads_every_process_of_a_gateway_at_one_target(tmp_path: Path):
    LocalKeys(tmp_path).ensure()
    async with run_nats(tmp_path / "nats") as nats:
        own = settings_of_the_gateway(tmp_path) | {"processes": "2"}
        settings = service_settings(nats, tmp_path) | own
        folder = tmp_path / "prometheus"
        folder.mkdir()
        async with (
            running_service("gateway", settings) as gateway,
            run_prometheus(folder, {"gateway": gateway.ports["metrics"]}, SECRET) as prometheus,
        ):
            await all_are_seen(prometheus)
            await eventually(lambda: shows_lines(prometheus))
            assert await gateway.stop() == 0, gateway.errors


async def shows_lines(prometheus: Prometheus) -> bool:
    """Whether each panel that parts by process has as many lines as there are."""
    lines = {"Processes": 1, "Processes started again": 2, "Streams": 2}
    shown = {
        query.panel: len(await prometheus.values(query.expression))
        for query in queries()
        if query.panel in lines
    }
    return shown == lines


async def all_are_seen(prometheus: Prometheus) -> None:
    """One target, whose two processes show their pages and their share of the room."""

    async def says(expression: str, *values: float) -> bool:
        return await prometheus.values(expression) == [*values]

    # On a busy machine a scrape may fail: each is asked until one went well.
    await eventually(lambda: says('modelmill_gateway_process_up{job="gateway"}', 1, 1))
    await eventually(lambda: says('up{job="gateway"}', 1))
    await eventually(lambda: says("count(modelmill_build_info)", 1))
    await eventually(lambda: says("sum(modelmill_answer_tokens_limit)", 1_000_000))
