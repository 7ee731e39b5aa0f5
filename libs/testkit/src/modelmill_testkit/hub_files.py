"""Repositories of a hub on loopback, and what it says of their files."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

LARGE_BYTES = 4096
"""Files from this size on lie in large file storage."""


@dataclass(frozen=True)
class HubFile:
    """A file, and what the hub says of it where that is not the truth."""

    content: bytes
    listed_size: int | None = None
    listed_digest: str | None = None
    is_endless: bool = False
    """The body goes on until the client leaves."""
    is_unsized: bool = False
    """No header says how long it is."""

    @property
    def is_large(self) -> bool:
        return len(self.content) >= LARGE_BYTES

    @property
    def sha256(self) -> str:
        return self.listed_digest or hashlib.sha256(self.content).hexdigest()

    @property
    def git_sha1(self) -> str:
        head = b"blob %d\0" % len(self.content)
        return self.listed_digest or hashlib.sha1(head + self.content).hexdigest()

    @property
    def size(self) -> int:
        return len(self.content) if self.listed_size is None else self.listed_size

    def as_listed(self, path: str) -> dict[str, Any]:
        """As the hub's API lists it."""
        listed: dict[str, Any] = {"rfilename": path, "size": self.size, "blobId": self.git_sha1}
        if self.is_large:
            listed["lfs"] = {"size": self.size, "sha256": self.sha256, "pointerSize": 134}
        return listed


@dataclass
class HubRepository:
    """A repository; what is assigned to `files` is another commit."""

    files: dict[str, HubFile]
    licence: str = "apache-2.0"
    is_gated: bool = False
    is_private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    """Names of commits beside "main"."""

    @property
    def commit(self) -> str:
        digest = hashlib.sha1()
        for path, file in sorted(self.files.items()):
            digest.update(f"{path}\0{file.git_sha1}\0".encode(errors="surrogatepass"))
        return digest.hexdigest()

    def has_revision(self, revision: str) -> bool:
        return revision in (self.commit, "main", *self.branches)
