"""Addresses, and the number that the United States know a person by."""

from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network

from modelmill_pii.numbers import is_us_ssn

from modelmill_guard.detectors.verified import detector

_IPV6_IN_USE = tuple(map(IPv6Network, ("2000::/3", "fc00::/7", "fe80::/10")))
"""Global, local to a site, local to a link; all begin with four digits, as times do not."""


def is_email(text: str) -> bool:
    """Dots and hyphens where names may have them (RFC 5321)."""
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    return (
        ".." not in local
        and not local.endswith(".")
        and not any(label.startswith("-") or label.endswith("-") for label in labels)
    )


def is_ip_address(text: str) -> bool:
    """An address of a machine: no version number, no time, not this machine itself."""
    return _is_ipv6(text) if ":" in text else _is_ipv4(text)


def _is_ipv4(text: str) -> bool:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    # Four single digits are a version or a section far more often than somebody's machine.
    return not (address.is_loopback or address.is_unspecified or len(text) == 7)


def _is_ipv6(text: str) -> bool:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return any(address in network for network in _IPV6_IN_USE)


EMAIL = detector(r"\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,40}\.){1,4}[a-z]{2,16}\b", is_email)
IP_ADDRESS = detector(
    r"\b(?:(?:\d{1,3}\.){3}\d{1,3}|[23f][0-9a-f]{3}(?:::?[0-9a-f]{1,4}){1,7})\b", is_ip_address
)
US_SSN = detector(r"\b\d{3}(?:-\d{2}-| \d{2} )\d{4}\b", is_us_ssn)
