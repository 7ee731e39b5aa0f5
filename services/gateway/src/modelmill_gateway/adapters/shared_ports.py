"""Ports at which a successor listens, too: new connections are left to it, and old ones end."""

import asyncio
import ctypes
import os
import socket
import struct
from collections.abc import Collection, Iterator

import psutil

SO_ATTACH_REUSEPORT_CBPF = 51
RANDOM = 0xFFFFF000 + 56
"""Of the kernel, where a packet would be read from (SKF_AD_OFF + SKF_AD_RANDOM)."""
LOAD, MODULO, ADD, RETURN = 0x20, 0x94, 0x04, 0x16
LOOK_SECONDS = 0.1


def leave_to_successor(ports: Collection[int], processes: int) -> None:
    """Have the kernel give all new connections at these ports to those who began to listen last.

    Connections that it had given to us when we close a listener would be reset.

    Args:
        processes: how many of our own generation listen there; as many listen behind them.

    Raises:
        OSError: the kernel takes no such program.
    """
    # Listeners are numbered as they came. A number that nobody has any more, once we have gone,
    # makes the kernel choose as it did before.
    program = b"".join(
        struct.pack("=HBBI", code, 0, 0, value)
        for code, value in ((LOAD, RANDOM), (MODULO, processes), (ADD, processes), (RETURN, 0))
    )
    steps = ctypes.create_string_buffer(program)
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    for listener in _listeners(ports):
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, described)


async def connections_ended(ports: Collection[int], within_seconds: float) -> None:
    """Return once no client is connected to us at these ports, or the time is over."""
    process = psutil.Process()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while loop.time() < deadline:
        found = await asyncio.to_thread(process.net_connections, "tcp")
        if not any(
            each.status == psutil.CONN_ESTABLISHED and each.laddr.port in ports for each in found
        ):
            return
        await asyncio.sleep(LOOK_SECONDS)


def _listeners(ports: Collection[int]) -> Iterator[socket.socket]:
    """Ours at these ports, as second descriptors; gRPC shows its own to nobody."""
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue  # not a socket, or closed meanwhile
        is_tcp = found.family in (socket.AF_INET, socket.AF_INET6)
        if (
            is_tcp
            and found.type == socket.SOCK_STREAM
            and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            and found.getsockname()[1] in ports
        ):
            yield found
        else:
            found.close()
