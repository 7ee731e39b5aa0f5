"""Reserved ports, for programs that cannot listen on port 0, and where successors listen."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

ALTERNATIVES = "|"
"""Between the addresses of one service, at any of which it or its successor may be."""
MAX_RECONNECT_SECONDS = 1.0
"""Of channels between services: where nobody listened is looked at again after so long."""


@contextmanager
def held_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Reserve a port while the block runs; for 0 the system chooses one.

    Our own servers listen on port 0 and report what they were given. This is for programs of others
    that cannot. A socket stays bound to the port without listening, so a program that sets
    SO_REUSEADDR may listen on it, and may be started again.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        chosen: int = holder.getsockname()[1]
        yield chosen
