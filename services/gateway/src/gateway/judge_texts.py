"""Judge texts by the caller's policy, without answering them."""

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.access import Caller
from gateway.domain.deadline import Deadline
from gateway.domain.verdict import InputVerdict

CHECK_SECONDS = 5.0
"""A verdict that takes longer is no verdict."""


class Moderation(Protocol):
    """Judges inputs."""

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict: ...


class JudgeTexts:
    """The same verdicts as those that chat inputs pass.

    Args:
        request_seconds: how long all of the texts of one call may take together.
    """

    def __init__(self, moderation: Moderation, request_seconds: float) -> None:
        self._moderation = moderation
        self._request_seconds = request_seconds

    async def __call__(self, texts: Sequence[str], caller: Caller) -> list[InputVerdict]:
        """One verdict for each text, in order.

        Raises:
            BadRequestError: a text is longer than moderation reads.
            UnavailableError: moderation is down, late, or has no valid policy.
            DeadlineError: the time is over.
        """
        deadline = Deadline(self._request_seconds)
        return [
            await self._moderation.check_input(
                text, tenant=caller.tenant, timeout=deadline.remaining(at_most=CHECK_SECONDS)
            )
            for text in texts
        ]
