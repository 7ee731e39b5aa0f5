"""Refusals by hubs, and of what lies on them. To add one: subclass, and give it a `reason`."""

from modelmill_service_kit.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)


class GatedRepositoryError(PermissionDeniedError):
    """Its owner lets in only those who accepted the terms."""

    reason = "HUB_GATED"


class MissingRepositoryError(NotFoundError):
    """There is none of that name, or it is private: a hub does not say which."""

    reason = "HUB_NO_REPOSITORY"


class MissingRevisionError(NotFoundError):
    """The repository has no such branch, tag or commit."""

    reason = "HUB_NO_REVISION"


class MissingFileError(NotFoundError):
    """The repository lacks a file that is needed."""

    reason = "HUB_NO_FILE"


class TokenRefusedError(UnauthenticatedError):
    """The token is unknown or lacks a right."""

    reason = "HUB_TOKEN_REFUSED"


class RateLimitedError(OverloadedError):
    """Too many requests; `retry_after_seconds` is what the hub said."""

    reason = "HUB_RATE_LIMITED"


class HubUnreachableError(UnavailableError):
    """The hub does not answer, or stops in the middle; what was downloaded is kept."""

    reason = "HUB_UNREACHABLE"


class HubOfflineError(PreconditionError):
    """The environment forbids to ask any hub."""

    reason = "HUB_OFFLINE"


class HubNotSupportedError(PreconditionError):
    """What reads this hub is not installed, or the hub does not offer what was asked."""

    reason = "HUB_NOT_SUPPORTED"


class HostileRepositoryError(InvalidInputError):
    """A repository that nobody should load; the errors say what is wrong with it."""

    reason = "HUB_HOSTILE"


class UnsafePathError(HostileRepositoryError):
    """Paths that leave the folder, or that no file system holds beside each other."""

    reason = "HUB_UNSAFE_PATH"


class FalseSizeError(HostileRepositoryError):
    """A file is longer or shorter than the listing says."""

    reason = "HUB_FALSE_SIZE"


class FalseDigestError(HostileRepositoryError):
    """A file's content is not the one that the listing names."""

    reason = "HUB_FALSE_DIGEST"


class PickleOnlyError(HostileRepositoryError):
    """Its weights are in forms that run code when they are loaded."""

    reason = "HUB_PICKLE_ONLY"


class RemoteCodeError(HostileRepositoryError):
    """It wants code of its own to be run."""

    reason = "HUB_REMOTE_CODE"
