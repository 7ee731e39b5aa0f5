"""Errors of the command line."""

import errno

from modelmill_service_kit.errors import DISK_FULL_ERRNOS, DomainError, PreconditionError


class WorkFailedError(DomainError):
    """What was asked for was begun, and ended badly."""

    reason = "WORK_FAILED"


class StackFailedError(WorkFailedError):
    """A process of the stack ends again and again, so all were stopped."""

    reason = "STACK_FAILED"


class RollingFailedError(WorkFailedError):
    """A successor did not take over; its predecessor goes on."""

    reason = "ROLLING_FAILED"


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
