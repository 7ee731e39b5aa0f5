"""Least privilege on a real broker: what is allowed, what is refused, and what is then said."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ModelRetired
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import main, make_streams
from modelmill_bus.errors import NotAllowedError
from modelmill_bus.nkeys import Nkey
from modelmill_bus.permissions import identities
from modelmill_bus.subjects import MODEL_READY, MODEL_RETIRED, alias_state, job_state, policy_state
from modelmill_service_kit.bus_access import NkeySeed
from modelmill_service_kit.errors import InvalidInputError, UnavailableError
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.waiting import eventually

from tests.identities.matrix import Prober, try_everything


async def test_the_broker_allows_each_identity_what_the_table_declares_and_nothing_else(
    tmp_path: Path,
):
    verdict = await try_everything(tmp_path)

    assert verdict.differences == ()
    assert verdict.identities == len(identities()) >= 9
    assert verdict.cases > 3000


async def test_what_is_not_allowed_is_an_error_at_once_and_one_line_for_the_operator(
    people: Identities, broker: NatsServer, caplog: pytest.LogCaptureFixture
):
    async with Bus.connect(broker.url, people.seed("moderation"), name="moderation") as bus:
        for _ in range(2):
            with pytest.raises(NotAllowedError, match=r"does not allow moderation to use job\."):
                async with asyncio.timeout(60):
                    await bus.publish(job_state("ftjob-1"), JobState(job_id="ftjob-1"))
        with pytest.raises(NotAllowedError, match=r"MSG\.GET\.CONFIG"):
            await bus.last(alias_state("shared", "x"), AliasState)
        await bus.publish(policy_state("shared"), PolicyState(tenant="shared"))
        asking = asyncio.create_task(anext(aiter(bus.follow(["job.state.*"]))))
        await eventually(lambda: "consumer.create.jobs" in caplog.text)
        asking.cancel()

    said = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert said[0] == "the message broker does not allow moderation a publish to job.state.ftjob-1"
    assert len([line for line in said if "job.state.ftjob-1" in line]) == 1


async def test_whoever_may_read_one_row_reads_its_newest_message_and_no_other_rows(
    people: Identities, broker: NatsServer
):
    async with (
        Bus.connect(broker.url, people.seed("gateway"), name="gateway") as writer,
        Bus.connect(broker.url, people.seed("trainer"), name="trainer") as bus,
    ):
        subject = alias_state("shared", "x")
        assert await bus.last_by_consumer(subject, AliasState) is None
        for version in ("mv-1", "mv-2"):
            await writer.publish(subject, AliasState(version_id=version))
        await writer.publish(alias_state("acme", "x"), AliasState(version_id="mv-3"))
        newest = await bus.last_by_consumer(subject, AliasState)

    assert newest is not None
    assert (newest.sequence, newest.body.version_id) == (2, "mv-2")


@pytest.mark.parametrize(
    "filters",
    [
        {"filter_subject": "webhook.state.*"},
        {"filter_subject": ">"},
        {"filter_subjects": ["alias.state.*.*", "webhook.state.*"]},
        {"filter_subjects": ["webhook.state.*"]},
        {},
    ],
)
async def test_a_consumer_gets_no_other_filter_than_the_one_that_the_permission_names(
    people: Identities, broker: NatsServer, filters: dict[str, object]
):
    prober = Prober("trainer")
    await prober.connect(broker.url, people.seed("trainer").file)
    asked = {"stream_name": "CONFIG", "config": {"name": "mine", "ack_policy": "none", **filters}}
    try:
        answer = await prober.client.request(
            "$JS.API.CONSUMER.CREATE.CONFIG.mine.alias.state.*.*", json.dumps(asked).encode()
        )
    finally:
        await prober.client.close()

    assert "filter" in json.loads(answer.data)["error"]["description"]


async def test_the_observer_hears_of_new_models_and_of_nothing_else(
    people: Identities, broker: NatsServer
):
    observer, heard = Prober("observer"), []
    await observer.connect(broker.url, people.seed("observer").file)

    async def hear(message) -> None:
        heard.append(message.subject)

    try:
        for subject in (MODEL_READY, MODEL_RETIRED, "model.*", ">"):
            await observer.client.subscribe(subject, cb=hear)
        await observer.client.flush()
        async with Bus.connect(broker.url, people.seed("trainer"), name="trainer") as bus:
            await bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-0"))
            await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"))
            await observer.client.publish(MODEL_READY, b'{"version_id": "forged"}')
            await bus.publish(MODEL_READY, ModelReady(version_id="mv-2"))
            await eventually(lambda: len(heard) >= 2)
            await observer.client.flush()
            stored = [each.body.version_id async for each in bus.replay([MODEL_READY])]
    finally:
        await observer.client.close()

    assert heard == [MODEL_READY, MODEL_READY]
    assert stored == ["mv-1", "mv-2"]


async def test_an_identity_that_the_broker_does_not_know_is_refused_in_one_line(
    broker: NatsServer, tmp_path: Path
):
    stranger = tmp_path / "stranger.nk"
    stranger.write_text(Nkey.generate().seed)
    for credential, shown in ((NkeySeed(stranger), f"identity of {stranger}"), ("old", "token")):
        with pytest.raises(UnavailableError) as refused:
            async with asyncio.timeout(60), Bus.connect(broker.url, credential, name="trainer"):
                pass
        assert str(refused.value) == f"the message broker at {broker.url} refuses the {shown}"


async def test_a_durable_consumer_that_the_table_does_not_name_is_a_mistake_of_ours(
    people: Identities, broker: NatsServer
):
    async with Bus.connect(broker.url, people.seed("trainer"), name="trainer") as bus:
        bus.deliveries("trainer-work-train", ["job.requested.train.>"], ack_wait_seconds=1)
        for foreign in ("trainer-watch", "data-prep-work-dataset"):
            with pytest.raises(InvalidInputError, match="no durable"):
                bus.deliveries(foreign, ["job.requested.train.>"], ack_wait_seconds=1)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "set NATS_URL, and NATS_NKEY_SEED_FILE or NATS_TOKEN_FILE"),
        (
            {"NATS_URL": "nats://127.0.0.1:1", "NATS_NKEY_SEED_FILE": "/none.nk"},
            "the nkey seed /none.nk cannot be read: No such file or directory",
        ),
    ],
)
def test_deploying_without_what_it_needs_is_one_line(
    environment: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(environment) == 2
    assert capsys.readouterr().err == f"deploy: {said}\n"


async def test_a_service_waits_for_its_streams_and_says_who_makes_them(
    people: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with run_nats(tmp_path / "nats", people.authorization()) as empty:
        monkeypatch.setattr("modelmill_bus.link.START_SECONDS", 4.0)
        with pytest.raises(
            UnavailableError,
            match=r"no streams POLICIES, TENANTS, ERASURES, AUDIT: .*modelmill_bus\.deploy",
        ):
            async with Bus.connect(empty.url, people.seed("moderation"), name="moderation"):
                pass
        monkeypatch.undo()

        async def connected() -> bool:
            async with Bus.connect(empty.url, people.seed("moderation"), name="moderation") as bus:
                return bus.connected

        waiting = asyncio.create_task(connected())
        await make_streams(empty.url, people.seed("deploy"))
        assert await waiting
