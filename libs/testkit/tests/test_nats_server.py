"""The throwaway broker does what tests of crashes rely on."""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import nats
import pytest
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import file_state
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.shared_nats import SharedServers
from modelmill_testkit.waiting import eventually


async def test_what_was_stored_is_there_after_kill_and_start_on_the_same_address(tmp_path):
    async with run_nats(tmp_path) as server:
        first = server.pid
        async with Bus.connect(server.url, server.token, name="tester") as bus:
            await bus.publish(file_state("file-1"), FileState(file_id="file-1"))
            server.kill()
            await server.start()
            await eventually(lambda: bus.connected)
            stored = await bus.last(file_state("file-1"), FileState)

        assert server.pid != first
    assert stored.body.file_id == "file-1"


async def test_two_brokers_run_side_by_side_with_tokens_of_their_own(tmp_path):
    async with run_nats(tmp_path / "a") as one, run_nats(tmp_path / "b") as other:
        assert one.url != other.url
        assert one.token != other.token


async def test_streams_may_reserve_more_than_the_disk_has_free(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    async with run_nats(tmp_path / "nats") as server:
        client = await nats.connect(server.url, token=server.token)
        js = client.jetstream()
        made = await js.add_stream(name="LARGE", subjects=["large"], max_bytes=free + (1 << 30))
        await client.close()

    assert made.config.max_bytes == free + (1 << 30)


async def test_a_condition_that_never_comes_true_is_named():
    with pytest.raises(AssertionError, match="2 > 3"):
        await eventually(lambda: 2 > 3, within=0.05)


async def test_the_value_that_came_true_is_returned_also_from_a_coroutine():
    async def value() -> str:
        return "there"

    assert await eventually(value) == "there"


LEASE = """
import asyncio
from modelmill_testkit.shared_nats import shared_nats

async def main():
    async with shared_nats() as server:
        print(server.url)

asyncio.run(main())
"""


def test_a_shared_broker_ends_with_the_program_that_started_it():
    url = subprocess.run([sys.executable, "-c", LEASE], capture_output=True, text=True).stdout
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))


async def test_a_lease_holds_no_message_of_the_last_while_its_streams_are_being_removed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    servers = SharedServers()
    held = []
    for _ in range(2):
        async with servers.lease() as server:
            client = await nats.connect(server.url, token=server.token)
            js = client.jetstream()
            await js.add_stream(name="EVENTS", subjects=["events"])
            held.append((await js.stream_info("EVENTS")).state.messages)
            await js.publish("events", b"one")
            await client.close()
        [streams] = tmp_path.glob("shared-nats-*/0/jetstream/jetstream/*/streams")
        slow = streams / ".EVENTS" / "msgs"
        slow.mkdir(parents=True, exist_ok=True)
        asyncio.get_running_loop().call_later(0.3, shutil.rmtree, slow.parent)
    servers.stop()

    assert held == [0, 0]


async def test_the_folder_of_streams_outlives_the_last_stream(tmp_path, monkeypatch):
    """The server removes it where it is empty, also while a test makes the next stream."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    servers = SharedServers()
    async with servers.lease() as server:
        client = await nats.connect(server.url, token=server.token)
        js = client.jetstream()
        for _ in range(50):
            await js.add_stream(name="EVENTS", subjects=["events"])
            await js.delete_stream("EVENTS")
        await client.close()
    [streams] = tmp_path.glob("shared-nats-*/0/jetstream/jetstream/$G/streams")
    with pytest.raises(OSError, match="not empty"):
        streams.rmdir()
    servers.stop()


async def test_what_is_away_for_a_moment_is_asked_again():
    answers = iter([UnavailableError("late"), None, "there"])

    def ask() -> str | None:
        answer = next(answers)
        if isinstance(answer, UnavailableError):
            raise answer
        return answer

    assert await eventually(ask) == "there"
