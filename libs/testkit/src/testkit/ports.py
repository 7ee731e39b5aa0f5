"""Ports for what a test starts."""

import os
import random
import socket
from itertools import chain

PORTS = range(16_000, 32_000)
"""Below those that the system gives to whoever asks for any (from 32768 on, by Linux' default):
between this process asking and the tested one listening, hundreds of others ask for any."""
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, another one at each call.

    Processes begin to look at different places, so that workers of one run do not meet.
    """
    begin = random.Random(os.getpid() + len(_given)).randrange(len(PORTS))
    for port in chain(PORTS[begin:], PORTS[:begin]):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no port from {PORTS.start} to {PORTS.stop - 1} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
