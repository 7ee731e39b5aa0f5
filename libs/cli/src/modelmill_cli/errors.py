"""Errors of the command line."""

import errno
from collections.abc import Mapping
from typing import Any

from modelmill_service_kit.errors import DISK_FULL_ERRNOS, DomainError, PreconditionError


class GatewayError(DomainError):
    """The gateway refused; the message is its own."""

    reason = "GATEWAY_REFUSED"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        may_pass: bool = False,
        said: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """Of its answer in HTTP; 0 where there was none."""
        self.said = said or {}
        """The gateway's `error`, where its answer has one."""
        self.may_pass = may_pass
        """Whether the same call may succeed later."""

    @property
    def errors(self) -> list[str]:
        """Everything that is wrong with what was asked, each with the call that asked it."""
        call = self.message.removesuffix(str(self.said.get("message")))
        return [f"{call}{each}" for each in self.said.get("errors") or ()]


class WorkFailedError(DomainError):
    """What was asked for was begun, and ended badly."""

    reason = "WORK_FAILED"


class JobEndedBadlyError(WorkFailedError):
    """The job failed or was cancelled; the message has its own error and remedy."""

    reason = "JOB_ENDED_BADLY"


class StackFailedError(WorkFailedError):
    """A process of the stack ends again and again, so all were stopped."""

    reason = "STACK_FAILED"


class DemoError(WorkFailedError):
    """The loop did not do what the demo is there to show."""

    reason = "DEMO_FAILED"


def say_system_error(error: OSError) -> str:
    """One line: which file or address, what is wrong, and what to do where that is known."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in DISK_FULL_ERRNOS:
        return f"disk full{f' on {error.filename}' if where else ''}. Free space and repeat"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}{error.strerror}; mill must be able to read and write there"
    return f"{where}{error.strerror or error}"


def folder_error(folder: object, error: OSError) -> DomainError:
    """Why `folder` cannot be the state folder."""
    other = "give --state another folder"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return PreconditionError(
            f"{error.filename or folder} is not a folder. Give --state another one"
        )
    if error.errno in DISK_FULL_ERRNOS:
        return PreconditionError(f"disk full on {folder}. Free space or {other}")
    return PreconditionError(
        f"{folder} cannot be written ({error.strerror}). Make it yours or {other}"
    )
