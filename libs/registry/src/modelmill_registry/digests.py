"""Names that become paths: digests and the relative paths of an artifact's files."""

import re

from modelmill_service_kit.errors import NotFoundError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_SEGMENT_BYTES = 255
_MAX_PATH_BYTES = 1024


def is_digest(text: str) -> bool:
    """Whether `text` is "sha256:" and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """The hex part of a digest.

    Raises:
        NotFoundError: It is no digest, so nothing can be stored under it.
    """
    if not is_digest(digest):
        raise NotFoundError(f"no artifact {digest[:80]!r}")
    return digest.removeprefix("sha256:")


def blob_name(sha256: str) -> str:
    """Where a content lies below the root of any store."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def manifest_name(digest: str) -> str:
    """Where a manifest lies below the root of any store.

    Raises:
        NotFoundError: It is no digest.
    """
    return f"manifests/{hex_of(digest)}.json"


def path_problem(path: str) -> str | None:
    """Why `path` may not name a file of an artifact, or None when it may.

    Allowed is a relative POSIX path that stays inside its folder on every platform.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    segments = path.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return "is not a plain relative path"
    if "\\" in path or ":" in path:
        return "has a backslash or a colon"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        return "has a control character"
    if len(encoded) > _MAX_PATH_BYTES:
        return f"is longer than {_MAX_PATH_BYTES} bytes"
    if any(len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in segments):
        return f"has a part longer than {_MAX_SEGMENT_BYTES} bytes"
    return None
