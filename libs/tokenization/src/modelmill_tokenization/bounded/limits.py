"""Limits of the foreign code of a model, and what a caller is told when it went past them."""

from dataclasses import dataclass

from modelmill_service_kit.errors import PreconditionError

MEGABYTE = 1 << 20
SECONDS_A_CHARACTER = 1e-5
"""CPU time that texts may take more: ten times what sound tokenizers do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request, if nothing else is said."""

    cpu_seconds: float = 1.0
    """CPU time of rendering and encoding; the kernel ends the process that takes more."""
    trial_cpu_seconds: float = 0.25
    """CPU time of a version that the tenant has not used well before, beside what its characters
    allow: those of good models take 20 ms at first."""
    seconds: float = 2.0
    """The same by the clock: nobody waits longer for a process in which another request runs."""
    read_cpu_seconds: float = 10.0
    """CPU time of reading a tokenizer.json, before its template is tried."""
    read_seconds: float = 30.0
    memory_bytes: int = 512 * MEGABYTE
    """Address space that rendering and encoding may add."""
    read_memory_bytes: int = 2048 * MEGABYTE
    """The same for reading."""
    kept_bytes: int = 1024 * MEGABYTE
    """Resident memory of a process above which tokenizers that were not used lately are dropped."""
    kept_folders: int = 32
    """Tokenizers that a process keeps at most."""

    def on_trial(self, characters: int) -> float:
        """CPU time of a request of so many characters to a version that is not proven."""
        return min(self.cpu_seconds, self.trial_cpu_seconds + SECONDS_A_CHARACTER * characters)


MAX_TOKENIZER_BYTES = 64 * MEGABYTE
"""Of a tokenizer.json; the largest in use (vocabularies of 262,000 tokens) have 33 MB."""
MAX_OTHER_BYTES = 8 * MEGABYTE
"""Of each other file that a tokenizer is loaded from."""
MAX_ADDED_TOKENS = 20_000
MAX_TOKEN_CHARACTERS = 4096
MAX_TEXT_CHARACTERS = 16_000_000
"""Of a rendered conversation."""
MAX_ANSWER_BYTES = 128 * MEGABYTE
"""Of what a child says at a time."""
MAX_MESSAGE_CHARACTERS = 2000
"""Of the message of an error that foreign code wrote."""


LIMIT_REASON = "TEMPLATE_LIMIT"


class LimitError(PreconditionError):
    """The chat template or tokenizer of a model needed more than it may have."""

    reason = LIMIT_REASON
    what = "was stopped at its limit"
    """Which limit it passed, for messages of others."""


def limit_error(what: str) -> LimitError:
    """The error for one request.

    Args:
        what: the limit that was passed, as "took more than 1 s of CPU time".
    """
    error = LimitError(
        f"the model's chat template or tokenizer {what} for this request and was stopped. "
        "Send a shorter request, or import the model with a template that ends"
    )
    error.what = what
    return error
