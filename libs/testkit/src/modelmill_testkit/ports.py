"""Ports for what a test starts."""

import socket


def free_port() -> int:
    """A port of 127.0.0.1 that is this process's until it ends, another one at each call.

    The system chooses it, and a socket stays bound to it, without listening: connections are
    refused, nobody else is given the port, and a server that sets SO_REUSEADDR (as ours, gRPC and
    nats-server do) may listen on it, as often as the test starts it again.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()  # open until the process ends
    return port
