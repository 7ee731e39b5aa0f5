"""On a cluster streams are on as many brokers as asked, and a bus goes from one to another."""

import asyncio
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Struct
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import main as deploy
from modelmill_bus.subjects import STREAMS
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.nats_cluster import run_nats_cluster
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.tier("drills")


@pytest.mark.timeout(90)
async def test_streams_have_the_replicas_asked_for_and_a_bus_outlives_its_broker(tmp_path: Path):
    async with (
        run_nats_cluster(tmp_path) as cluster,
        Bus.connect(cluster.url, cluster.token, name="tester", replicas=3) as bus,
    ):
        for stream in STREAMS:
            assert (await bus._link.js.stream_info(stream.name)).config.num_replicas == 3
        mine = bus._link.client.connected_url.netloc
        first = await eventually(lambda: submitted(bus), within=20)
        (own,) = [name for name, each in cluster.servers.items() if each.url.endswith(mine)]
        await let_another_lead(bus, own)
        cluster.servers[own].kill()

        assert await eventually(lambda: submitted(bus), within=30) == first
        assert bus._link.client.connected_url.netloc != mine


@pytest.mark.parametrize(
    ("replicas", "said"),
    [("3", "3 replicas need a cluster"), ("0", "must be 1 or more"), ("many", "must be 1 or more")],
)
async def test_who_deploys_says_how_many_replicas(
    broker: NatsServer, capsys: pytest.CaptureFixture[str], replicas: str, said: str
):
    environment = {"NATS_URL": broker.url, "NATS_TOKEN": broker.token, "NATS_REPLICAS": replicas}

    assert await asyncio.to_thread(deploy, environment) == 2
    assert said in capsys.readouterr().err


async def let_another_lead(bus: Bus, name: str) -> None:
    """A stream whose leader dies is without one for four to nine seconds; that is not the point."""

    async def another_leads() -> bool:
        cluster = (await bus._link.js.stream_info("JOBS")).cluster
        if cluster.leader == name:
            await bus._link.client.request("$JS.API.STREAM.LEADER.STEPDOWN.JOBS", timeout=2)
        return cluster.leader not in (name, None)

    await eventually(another_leads, within=20)


async def submitted(bus: Bus) -> int:
    """Where the one job stands in the stream; 0 while the brokers do not agree."""
    try:
        job = await JobQueue(bus).submit(
            kind="train",
            prefix="ftjob",
            tenant="acme",
            requested_by="tester",
            idempotency_key="one",
            spec=Struct(),
        )
    except UnavailableError:
        return 0
    return job.sequence


async def test_replicas_without_a_cluster_are_refused_at_once(broker: NatsServer):
    with pytest.raises(UnavailableError, match="3 replicas need a cluster"):
        async with Bus.connect(broker.url, broker.token, name="tester", replicas=3):
            pass
