"""New connections at a port that is shared go to the successors alone; clients end old ones."""

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import psutil
import pytest
from modelmill_gateway.adapters.shared_ports import (
    connections_ended,
    leave_to_one,
    leave_to_successor,
    own_generation,
)
from modelmill_service_kit.process import Ending

CONNECTIONS = 200


def listener(port: int = 0) -> socket.socket:
    server = socket.create_server(("127.0.0.1", port), reuse_port=True, backlog=CONNECTIONS)
    server.setblocking(False)
    return server


def accepted(server: socket.socket) -> int:
    """How many connections the kernel has given to it."""
    number = 0
    while True:
        try:
            connection, _ = server.accept()
        except BlockingIOError:
            return number
        connection.close()
        number += 1


def connected(servers: list[socket.socket]) -> Counter[int]:
    port = servers[0].getsockname()[1]
    for _ in range(CONNECTIONS):
        socket.create_connection(("127.0.0.1", port)).close()
    return Counter({number: accepted(server) for number, server in enumerate(servers)})


@pytest.mark.parametrize("processes", [1, 3])
def test_successors_are_given_all_new_connections_and_each_some(processes: int):
    old = [listener()]
    port = old[0].getsockname()[1]
    old += [listener(port) for _ in range(processes - 1)]
    new = [listener(port) for _ in range(processes)]
    assert connected([*old, *new])[0] > 0

    descriptors = psutil.Process().num_fds()
    leave_to_successor([port], processes)
    assert psutil.Process().num_fds() == descriptors
    given = connected([*old, *new])
    assert [given[number] for number in range(processes)] == [0] * processes
    assert all(given[number] for number in range(processes, 2 * processes))

    for server in old:
        server.close()
    assert sum(connected(new).values()) == CONNECTIONS
    for server in new:
        server.close()


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("is_first_to_go", [True, False])
def test_no_connection_is_given_to_those_that_leave_one_after_another(
    processes: int, is_first_to_go: bool
):
    old = [listener()]
    port = old[0].getsockname()[1]
    old += [listener(port) for _ in range(processes - 1)]
    new = [listener(port) for _ in range(processes)]

    leave_to_successor([port], processes)
    while old:
        leave_to_one([port], processes)
        old.pop(0 if is_first_to_go else -1).close()
        given = connected([*old, *new])
        assert sum(given.values()) == CONNECTIONS
        assert [given[number] for number in range(len(old))] == [0] * len(old)

    assert all(connected(new).values())
    for server in new:
        server.close()


async def test_it_is_waited_for_clients_that_are_connected_and_no_longer_than_may_be():
    held = socket.create_server(("127.0.0.1", 0))
    port = held.getsockname()[1]
    own = own_generation(1)
    await asyncio.wait_for(connections_ended([port], Ending(0, 60), own), 60)

    client = socket.create_connection(held.getsockname())
    connection, _ = held.accept()
    await asyncio.wait_for(connections_ended([port], Ending(0, 0.2), own), 60)
    ending = asyncio.create_task(connections_ended([port], Ending(0, 60), own))
    assert not (await asyncio.wait([ending], timeout=0.5))[0]
    connection.close()
    client.close()
    await asyncio.wait_for(ending, 60)
    held.close()


WAITING = """
import asyncio, sys
from modelmill_gateway.adapters.shared_ports import connections_ended, own_generation
from modelmill_service_kit.process import Ending

port = int(sys.argv[1])
assert len(own_generation(1)) == 1
asyncio.run(connections_ended([port], Ending(0, 60), own_generation(2)))
"""
WITH_A_CLIENT = """
import socket, sys

server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
print("has a client", flush=True)
connection.recv(1)
connection.close()
sys.stdin.read()
"""


async def test_those_of_one_gateway_wait_for_the_clients_of_each():
    def python(code: str, *arguments: str) -> Coroutine[Any, Any, asyncio.subprocess.Process]:
        command = (sys.executable, "-c", code, *arguments)
        return asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)

    sibling = await python(WITH_A_CLIENT)
    assert sibling.stdin is not None
    assert sibling.stdout is not None
    port = (await sibling.stdout.readline()).decode().strip()
    client = socket.create_connection(("127.0.0.1", int(port)))
    assert await sibling.stdout.readline()
    leaving = await python(WAITING, port)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(leaving.wait(), 4)
        client.close()
        assert await asyncio.wait_for(leaving.wait(), 60) == 0
    finally:
        client.close()
        sibling.stdin.close()
        await sibling.wait()
        if leaving.returncode is None:
            leaving.kill()
            await leaving.wait()
