"""What is wrong with an installation."""

from typing import Literal

from modelmill_service_kit.checks import Finding
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import ResponseModel


class ReportedFinding(ResponseModel):
    """Problem that a check of `mill doctor` has found, and what to do about it."""

    object: Literal["finding"] = "finding"
    check: str = Field(examples=["stream-full"])
    severity: Literal["error", "warning"] = Field(
        description="error: it does not work, or data are at risk; warning: it will not for long."
    )
    problem: str = Field(examples=["stream JOBS is 85% full (912.7 MB of 1,073.7 MB)"])
    remedy: str = Field(
        examples=["Give it more room: nats stream edit JOBS --max-bytes=2147483648"]
    )

    @classmethod
    def of_found(cls, found: Finding) -> "ReportedFinding":
        """A finding of the checks."""
        return cls.of(found, severity=found.severity.value)
