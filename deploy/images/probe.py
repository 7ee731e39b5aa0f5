"""Exit 0 when every given port says that it is well: `probe.py grpc:50051 http:8080/healthz`.

`mtls:50051` asks over TLS, with the certificate that the service itself shows to others; without
one in its settings it asks as `grpc:` does.

Speaks the few bytes that this takes by itself. Importing grpc would cost a quarter of a second of
processor for each check of each container, which on a small machine starves what is checked.
"""

import os
import socket
import sys

SECONDS = 4.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STREAM = 1
NO_REQUEST = b"\0\0\0\0\0"
"""An empty HealthCheckRequest, which asks about the server as a whole."""
SERVING = b"\0\0\0\0\2\x08\1"
"""HealthCheckResponse{status: SERVING} with gRPC's prefix: not compressed, two bytes long."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame (RFC 9113, section 4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def field(name: bytes, value: bytes) -> bytes:
    """A header field that no table remembers (RFC 7541, section 6.2.2); both below 127 bytes."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def health_call() -> bytes:
    """Everything that the client of one Health.Check sends."""
    fields = b"".join(
        (
            field(b":method", b"POST"),
            field(b":scheme", b"http"),
            field(b":path", b"/grpc.health.v1.Health/Check"),
            field(b":authority", b"localhost"),
            field(b"te", b"trailers"),
            field(b"content-type", b"application/grpc"),
            field(b"grpc-timeout", b"3S"),
        )
    )
    return (
        PREFACE
        + frame(SETTINGS, 0, 0)
        + frame(HEADERS, END_HEADERS, STREAM, fields)
        + frame(DATA, END_STREAM, STREAM, NO_REQUEST)
    )


def read_exactly(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        piece = connection.recv(count - len(content))
        if not piece:
            raise ConnectionError("the server hung up")
        content += piece
    return content


def own_certificate() -> dict[str, str]:
    """Paths to the authority, the certificate and the key, from the service's environment."""
    kinds = ("AUTHORITY", "CERTIFICATE", "KEY")
    ends = {f"_MTLS_{kind}_PATH": kind for kind in kinds}
    found = {
        kind: path
        for name, path in os.environ.items()
        for end, kind in ends.items()
        if path and name.endswith(end)
    }
    return found if len(found) == len(kinds) else {}


def connect(port: int, certificate: dict[str, str]) -> socket.socket:
    """A connection to a server of this container; with a certificate, one that both believe."""
    connection = socket.create_connection(("127.0.0.1", port), SECONDS)
    if not certificate:
        return connection
    import ssl  # takes a while, and most probes of the gateway and the broker need none

    trust = ssl.create_default_context(cafile=certificate["AUTHORITY"])
    trust.load_cert_chain(certificate["CERTIFICATE"], certificate["KEY"])
    trust.set_alpn_protocols(["h2"])
    return trust.wrap_socket(connection, server_hostname="localhost")


def grpc_serves(port: int, certificate: dict[str, str]) -> bool:
    """Whether the server's health service answers SERVING."""
    with connect(port, certificate) as connection:
        connection.sendall(health_call())
        while True:
            head = read_exactly(connection, 9)
            payload = read_exactly(connection, int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == DATA:
                return payload == SERVING
            elif kind == HEADERS and flags & END_STREAM:
                return False  # a status without an answer


def http_answers(port: int, path: str) -> bool:
    """Whether GET gives 200."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
        return read_exactly(connection, 12).endswith(b" 200")


def is_well(target: str) -> bool:
    protocol, _, rest = target.partition(":")
    if protocol in ("grpc", "mtls"):
        return grpc_serves(int(rest), own_certificate() if protocol == "mtls" else {})
    port, slash, path = rest.partition("/")
    return http_answers(int(port), slash + path)


def main(targets: list[str]) -> int:
    for target in targets:
        try:
            well, why = is_well(target), "not serving"
        except OSError as error:
            well, why = False, str(error)
        if not well:
            print(f"{target}: {why}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
