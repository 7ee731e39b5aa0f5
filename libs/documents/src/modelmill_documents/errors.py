"""Why a document is refused: each kind has a reason of its own, and says cause and remedy."""

from modelmill_service_kit.errors import InvalidInputError


class DocumentError(InvalidInputError):
    """A document whose text cannot be had."""

    reason = "DOCUMENT_UNREADABLE"


class EncryptedDocumentError(DocumentError):
    """It needs a password."""

    reason = "DOCUMENT_ENCRYPTED"


class DamagedDocumentError(DocumentError):
    """It is not of its format, or breaks off, or ends its reader."""

    reason = "DOCUMENT_DAMAGED"


class DocumentTooLargeError(DocumentError):
    """It, what it unpacks to, or the memory that reading takes is above a limit."""

    reason = "DOCUMENT_TOO_LARGE"


class DocumentTooSlowError(DocumentError):
    """Reading it takes more time than a limit."""

    reason = "DOCUMENT_TOO_SLOW"


class NoTextError(DocumentError):
    """It can be read and has no text, such as scanned pages."""

    reason = "DOCUMENT_WITHOUT_TEXT"


class ScriptedPageError(NoTextError):
    """Scripts would make its text, and scripts are never run."""

    reason = "DOCUMENT_MADE_BY_SCRIPTS"


_OF_REASON: dict[str, type[DocumentError]] = {
    error.reason: error
    for error in (
        DocumentError,
        EncryptedDocumentError,
        DamagedDocumentError,
        DocumentTooLargeError,
        DocumentTooSlowError,
        NoTextError,
        ScriptedPageError,
    )
}


def error_of(reason: str, message: str) -> DocumentError:
    """The error that a child process reported."""
    return _OF_REASON.get(reason, DocumentError)(message)
