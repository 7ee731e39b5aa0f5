"""Where keys of issuers may come from."""

from urllib.parse import urlsplit

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
