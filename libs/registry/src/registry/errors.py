"""What the registry refuses beyond the common errors."""

from service_kit.errors import PreconditionError


class CorruptArtifactError(PreconditionError):
    """Bytes at rest are not the bytes that were committed; they are never served.

    Committing the same content again repairs it. `path` is relative to the store's root.
    """

    reason = "CORRUPT_ARTIFACT"

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} is corrupt: {detail}")
        self.path = path
