"""Why something is not what somebody signed."""

from dataclasses import dataclass

from modelmill_cli.errors import WorkFailedError


@dataclass(frozen=True)
class Unverified:
    """One thing that is not as it was signed."""

    check: str
    """What was looked at, in a word: `changed`, `missing`, `added`, `link`, `statement`, `key`."""
    name: str
    """The file or image."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}. {self.remedy}"


class ProvenanceError(WorkFailedError):
    """There is no statement of this key, or none that can be read."""

    reason = "PROVENANCE"

    def __init__(self, refusal: Unverified) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
