"""Ports at which a successor listens, too: new connections are left to it, and old ones end."""

import asyncio
import ctypes
import os
import socket
import struct
from collections.abc import Collection, Iterator, Sequence

import psutil
from modelmill_service_kit.process import Ending

SO_ATTACH_REUSEPORT_CBPF = 51
RANDOM = 0xFFFFF000 + 56
"""Of the kernel, where a packet would be read from (SKF_AD_OFF + SKF_AD_RANDOM)."""
LOAD, MODULO, ADD, RETURN, RETURN_VALUE = 0x20, 0x94, 0x04, 0x16, 0x06
LOOK_SECONDS = 0.1


def leave_to_successor(ports: Collection[int], processes: int) -> None:
    """Have the kernel give all new connections at these ports to those who began to listen last.

    Connections that it had given to us when we close a listener would be reset.

    Args:
        processes: how many of our own generation listen there; as many listen behind them.

    Raises:
        OSError: the kernel takes no such program.
    """
    # Listeners are numbered as they came: ours, then the successor's.
    steps = ((LOAD, RANDOM), (MODULO, processes), (ADD, processes), (RETURN, 0))
    _attach(ports, steps)


def leave_to_one(ports: Collection[int], processes: int) -> None:
    """Have the kernel give all new connections to one listener of the successor.

    Before the first of ours is closed: the last listener then takes its number, and of numbers that
    nobody has any more the kernel makes a choice of its own, which may be one of ours. This one's
    number stays as long as there are any of ours. When they are gone, the kernel deals out
    connections among all.

    Args:
        processes: as for `leave_to_successor`.

    Raises:
        OSError: the kernel takes no such program.
    """
    _attach(ports, ((RETURN_VALUE, processes),))


def _attach(ports: Collection[int], steps: Sequence[tuple[int, int]]) -> None:
    program = b"".join(struct.pack("=HBBI", code, 0, 0, value) for code, value in steps)
    held = ctypes.create_string_buffer(program)
    described = struct.pack("@HP", len(steps), ctypes.addressof(held))
    for listener in _listeners(ports):
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, described)


def own_generation(processes: int) -> list[psutil.Process]:
    """This process and those of one gateway that were started beside it, by the same parent.

    Args:
        processes: how many there are.
    """
    own = psutil.Process()
    parent = own.parent() if processes > 1 else None
    return parent.children() if parent else [own]


async def connections_ended(
    ports: Collection[int], ending: Ending, processes: Collection[psutil.Process]
) -> None:
    """Return once no client is connected to these processes at these ports, or time is over.

    All of a generation wait for each other's clients: once the first closes a listener, one process
    of the successor has all new connections (see `leave_to_one`), which must not last.
    """
    while ending.seconds_left > 0:
        if not await asyncio.to_thread(lambda: any(_has_client(each, ports) for each in processes)):
            return
        await asyncio.sleep(LOOK_SECONDS)


def _has_client(process: psutil.Process, ports: Collection[int]) -> bool:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return False  # it has ended
    return any(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port in ports for each in found
    )


def _listeners(ports: Collection[int]) -> Iterator[socket.socket]:
    """Ours at these ports, as second descriptors; gRPC shows its own to nobody."""
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptor = os.dup(int(name))
        except OSError:
            continue  # closed meanwhile
        try:
            found = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            continue  # not a socket
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
