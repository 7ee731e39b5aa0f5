"""A held port is nobody else's, and may be listened on more than once."""

import socket

import pytest
from modelmill_service_kit.ports import held_port


def test_nobody_else_is_given_a_held_port_and_its_program_may_listen_on_it_twice():
    with held_port() as port:
        others = [socket.socket() for _ in range(200)]
        for one in others:
            one.bind(("127.0.0.1", 0))
        assert port not in {one.getsockname()[1] for one in others}
        for one in others:
            one.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=60)
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)):
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
