"""Locations of files: a path, or a URL of where else they are."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(location: str) -> Path | None:
    """The folder that a path or a `file://` URL means; None for a URL of a server."""
    if "://" not in location:
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return None
