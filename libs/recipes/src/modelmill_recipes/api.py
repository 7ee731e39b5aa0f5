"""What running a recipe needs besides the client of the gateway."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from modelmill_hub.address import HubAddress

Record = Mapping[str, Any]
"""As the API gives it."""
FollowJob = Callable[[str, str], Record]
"""Shows a job, by its id and a title, until it ends; gives its record, or raises where it did not
succeed."""
ImportBase = Callable[[Path | HubAddress], str]
"""Imports a model of a folder or a hub; the same content gives the same version. Gives its id."""


class RecipeJudging(Protocol):
    """A judge, as it stands when a run begins."""

    def require_decision(self) -> None:
        """Refuse to let it decide before its agreement with people is published.

        Raises:
            PreconditionError: why it may not, and what would help.
        """

    def score(self, job_id: str, worst: float | None) -> Record:
        """Scores of the answers of an evaluation; what was judged before is not asked again.

        Args:
            worst: Mean score that is needed; None where the judge decides nothing.

        Raises:
            PreconditionError: there is nothing to judge, or it may not decide.
        """


OpenJudge = Callable[[Path], RecipeJudging]
"""Reads the judge of a file, and what is published of it."""


class StepView(Protocol):
    """Where steps are told of as they go."""

    def kept(self, step: str, words: str) -> None:
        """It was done before, with these inputs."""

    def done(self, step: str, words: str) -> None:
        """It is done now."""

    def left(self, step: str, words: str) -> None:
        """It is left undone, for a reason."""
