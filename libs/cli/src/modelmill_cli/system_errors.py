"""What the operating system refused, in words that say what to do."""

import errno

from modelmill_service_kit.errors import DISK_FULL_ERRNOS, DomainError, PreconditionError


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
