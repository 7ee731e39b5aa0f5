"""A port that a test was given is its own until the test process ends."""

import multiprocessing
import socket

import pytest
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.ports import free_port

MANY = 300


def ports_of_a_process(_number: int) -> list[int]:
    return [free_port() for _ in range(MANY)]


def test_processes_that_ask_at_once_are_given_different_ports():
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        # Four processes with neighbouring ids, all alive until every one has its ports.
        given = [port for ports in pool.map(ports_of_a_process, range(4), 1) for port in ports]
    assert len(set(given)) == len(given) == 4 * MANY


def test_nobody_else_is_given_a_held_port():
    held = {free_port() for _ in range(MANY)}
    taken = [socket.socket() for _ in range(MANY)]
    try:
        for one in taken:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        assert held.isdisjoint(one.getsockname()[1] for one in taken)
    finally:
        for one in taken:
            one.close()


def test_connections_to_a_held_port_are_refused():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port()), timeout=5)


async def test_a_server_may_listen_on_it_again_after_its_end(tmp_path):
    async with run_nats(tmp_path) as server:
        server.kill()
        await server.start()
