"""Streams of the broker's default account are given to that of the streams, or refused."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus import stream_folders
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import make_streams
from modelmill_bus.permissions import DEPLOY
from modelmill_bus.stream_folders import UntakenStreamsError, take_over_streams
from modelmill_bus.subjects import DEFAULT_BUILDS, MODEL_READY
from modelmill_service_kit.bus_access import Credential
from modelmill_testkit.nats_server import run_nats

FORMER_SUBJECTS = ["model.ready", "model.retired", "model.serving"]


def files(folder: Path) -> Mapping[str, bytes]:
    return {
        each.relative_to(folder).as_posix(): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def with_stream(store: Path, account: str) -> Path:
    """An account's folder with one file of a stream."""
    folder = store / "jetstream" / account / "streams" / "MODELS"
    folder.mkdir(parents=True)
    (folder / "meta.inf").write_text(f"of {account}")
    return folder.parent.parent


async def taken(url: str, credential: Credential, count: int) -> list[int]:
    """Sequences of models that the builder is given next, each acknowledged."""
    name = "optimizer-builder"
    async with Bus.connect(url, credential, name=name) as bus:
        deliveries = bus.deliveries(DEFAULT_BUILDS, [MODEL_READY], ack_wait_seconds=30)
        found = []
        for _ in range(count):
            message = await deliveries.next(timeout=60)
            assert message is not None
            await message.ack_sync()
            found.append(message.metadata.sequence.stream)
        return found


@pytest.mark.own_broker
async def test_messages_ids_and_consumers_of_the_default_account_go_on_in_that_of_the_streams(
    tmp_path: Path,
):
    people = Identities(tmp_path / "identities")
    people.ensure()
    async with (
        run_nats(tmp_path) as broker,
        Bus.connect(broker.url, broker.token, name="trainer") as bus,
    ):
        js = bus._link.js
        config = (await js.stream_info("MODELS")).config
        await js.update_stream(config.evolve(subjects=FORMER_SUBJECTS))
        for number in range(3):
            body = ModelReady(version_id=f"mv-{number}")
            await bus.publish(MODEL_READY, body, msg_id=f"mv-{number}")
        assert await taken(broker.url, broker.token, 1) == [1]

    assert take_over_streams(tmp_path / "jetstream")
    async with run_nats(tmp_path, people.authorization()) as broker:
        await make_streams(broker.url, people.seed(DEPLOY))
        async with Bus.connect(broker.url, people.seed("trainer"), name="trainer") as bus:
            repeated = await bus.publish(MODEL_READY, ModelReady(version_id="mv-0"), msg_id="mv-0")
            added = await bus.publish(MODEL_READY, ModelReady(version_id="mv-3"))
            subjects = (await bus._link.js.stream_info("MODELS")).config.subjects
        assert (repeated, added, subjects) == (1, 4, ["model.*"])
        assert await taken(broker.url, people.seed("optimizer-builder"), 3) == [2, 3, 4]


def test_streams_are_taken_over_once_and_also_into_a_folder_that_was_left_empty(tmp_path: Path):
    with_stream(tmp_path, stream_folders.FORMER_ACCOUNT)
    (tmp_path / "jetstream" / stream_folders.STREAMS_ACCOUNT / "streams").mkdir(parents=True)

    assert take_over_streams(tmp_path)
    assert not take_over_streams(tmp_path)
    assert files(tmp_path) == {"jetstream/STREAMS/streams/MODELS/meta.inf": b"of $G"}


def test_a_folder_without_streams_of_the_default_account_is_left_as_it_is(tmp_path: Path):
    assert not take_over_streams(tmp_path / "none")
    with_stream(tmp_path, stream_folders.STREAMS_ACCOUNT)
    (tmp_path / "jetstream" / stream_folders.FORMER_ACCOUNT / "streams").mkdir(parents=True)

    assert not take_over_streams(tmp_path)
    assert files(tmp_path) == {"jetstream/STREAMS/streams/MODELS/meta.inf": b"of STREAMS"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("STREAMS", "streams", "MODELS"), "streams of two accounts.*Move .* away"),
        (("$SYS", "_js_"), "streams of a cluster.*nats account backup"),
    ],
)
def test_streams_that_cannot_be_taken_over_are_refused_and_left_alone(
    tmp_path: Path, more: tuple[str, ...], said: str
):
    with_stream(tmp_path, stream_folders.FORMER_ACCOUNT)
    tmp_path.joinpath("jetstream", *more).mkdir(parents=True)
    before = files(tmp_path)

    with pytest.raises(UntakenStreamsError, match=f"(?s){said}"):
        take_over_streams(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.tier("test")
def test_the_image_of_the_broker_takes_streams_over_before_it_starts_one_or_does_not_start_it(
    tmp_path: Path,
):
    with_stream(tmp_path, stream_folders.FORMER_ACCOUNT)
    listing = f"import os; print(os.listdir({str(tmp_path / 'jetstream')!r}))"
    command = [sys.executable, "-I", "-S", stream_folders.__file__, str(tmp_path)]
    command += [sys.executable, "-c", listing]
    first = subprocess.run(command, capture_output=True, text=True)
    with_stream(tmp_path, stream_folders.FORMER_ACCOUNT)
    second = subprocess.run(command, capture_output=True, text=True)

    assert (first.returncode, first.stdout) == (0, "['STREAMS']\n")
    assert (second.returncode, second.stdout) == (2, "")
    assert "streams of two accounts" in second.stderr
