"""Ports that were asked for: free, or refused with the name of who has them."""

import errno
import socket
from collections.abc import Mapping

import psutil
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

HOST = "127.0.0.1"


def refuse_taken_ports(asked: Mapping[str, int]) -> None:
    """Look whether each port can be listened on; 0 means any and is left out.

    Args:
        asked: option, such as "--http-port", to the port it names.

    Raises:
        InvalidInputError: two options name one port.
        PreconditionError: ports are taken, or need root; all are listed.
    """
    wanted = {option: port for option, port in asked.items() if port}
    if len(set(wanted.values())) < len(wanted):
        named = " ".join(f"{option} {port}" for option, port in wanted.items())
        raise InvalidInputError(f"two options name the same port: {named}")
    problems = [problem for option, port in wanted.items() if (problem := _problem(option, port))]
    if problems:
        raise PreconditionError("; ".join(problems))


def _problem(option: str, port: int) -> str:
    with socket.socket() as probe:
        # As servers do: connections that are still ending do not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                holder = _holder(port)
                return f"port {port} is taken{holder}. Stop that or give {option} another one"
            return f"port {port} cannot be used ({error.strerror}). Give {option} another one"
        except OverflowError:
            return f"{port} is not a port. Give {option} a number from 0 to 65535"
    return ""


def _holder(port: int) -> str:
    """` by NAME (pid N)`, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            mine = connection.laddr and connection.laddr.port == port
            if mine and connection.status == psutil.CONN_LISTEN and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f" by {name} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""
