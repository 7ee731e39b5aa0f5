"""Addresses: which ones a webhook may have, and where keys of issuers may come from."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelmill_gateway.domain.errors import BadRequestError

MAX_URL_CHARS = 2048
FIRST_FREE_PORT = 1024
_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that was ever given to anybody as a public address."""
_STANDING_FOR_IPV4 = tuple(
    ipaddress.IPv6Network(network) for network in ("::ffff:0:0/96", "64:ff9b::/96")
)
"""Outside of it, networks that stand for IPv4, an address in the last 32 bits: mapped, NAT64."""
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_ISATAP = 0x00005EFE
_ISATAP_MASK = 0xFCFFFFFF
"""The upper half of an interface's id, less its bits for universal and group (RFC 5214, 6.1)."""
_REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata at .192
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a cloud's own services, under a public address
        "224.0.0.0/4",
        "2001::/32",  # Teredo: a relay takes it to an address of IPv4 written in it
        "3fff::/20",
    )
)
"""What `ipaddress` of some version calls global and is not for us to call."""


@dataclass(frozen=True)
class Target:
    """A URL in its parts, of which a request is made; nothing parses it again."""

    scheme: str
    host: str
    """A name, or an address without brackets."""
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


TO_ALLOW_PRIVATE = "GATEWAY_WEBHOOK_ALLOW_PRIVATE=true lets in http and addresses of your own"
"""What whoever runs the gateway can do about it."""


def target_of(url: str, *, allow_private: bool) -> Target:
    """The parts of an endpoint's URL.

    Raises:
        BadRequestError: it may not be an endpoint's; all that is wrong is said.
    """
    if len(url) > MAX_URL_CHARS or _PRINTABLE.fullmatch(url) is None or "\\" in url:
        raise _wrong(f"url: at most {MAX_URL_CHARS} printable ASCII characters, no backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong("url: this is no URL") from None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    errors = []
    if scheme != "https" and not (allow_private and scheme == "http"):
        errors.append(f"url: must begin with https://. {TO_ALLOW_PRIVATE}")
    if "@" in parts.netloc:
        errors.append("url: no user name or password")
    if "#" in url:
        errors.append("url: no fragment")
    if not _is_host(host):
        errors.append("url: the host must be a name in ASCII, or an address")
    if errors:
        raise _wrong(*errors)
    port = port if port is not None else {"https": 443, "http": 80}[scheme]
    if not allow_private and port != 443 and port < FIRST_FREE_PORT:
        raise _wrong(f"url: the port must be 443, or {FIRST_FREE_PORT} and above")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme, host, port, path)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, whatever form it hides in."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # with a zone, for example
        return False
    return _is_public(found)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = tuple(_inner_addresses(address))
        if not all(map(_is_public, inner)):
            return False
        if any(address in network for network in _STANDING_FOR_IPV4):
            return True
        if address not in _UNICAST:
            return False
        if address in _SIX_TO_FOUR:
            return True
    refused = any(address in network for network in _REFUSED if network.version == address.version)
    return address.is_global and not refused


def _inner_addresses(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """The addresses of IPv4 to which routers on the way may take what is sent to this one.

    ISATAP may stand below any prefix. Translators with a prefix of their own (RFC 6052) cannot be
    told from other networks.
    """
    value = int(address)
    interface = value & 0xFFFFFFFF_FFFFFFFF
    if (interface >> 32) & _ISATAP_MASK == _ISATAP:
        yield ipaddress.IPv4Address(interface & 0xFFFFFFFF)
    if any(address in network for network in _STANDING_FOR_IPV4):
        yield ipaddress.IPv4Address(value & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        yield ipaddress.IPv4Address((value >> 80) & 0xFFFFFFFF)


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return "%" not in host
    return len(host) <= 253 and _HOST.fullmatch(host) is not None and ".." not in host


def _wrong(*errors: str) -> BadRequestError:
    return BadRequestError(errors, param="url")


LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


def is_safe_address(url: str) -> bool:
    """Whether nobody between can put other keys in their place: https, or http on loopback."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        return False
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    return loopback or (parts.scheme == "https" and bool(parts.hostname))
