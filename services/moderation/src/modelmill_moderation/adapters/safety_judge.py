"""Judges that are content-safety services which the operator configured."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from modelmill_guard.judge import Judge, Opinion, Window

from modelmill_moderation.adapters.safety_service import SafetyService
from modelmill_moderation.domain.no_opinion import Failure, NoOpinionError, bad_answer
from modelmill_moderation.safety_service_settings import SafetyServiceSettings


class SafetyJudge:
    """`ask_judge.JudgesWindows` for judges that name a service.

    Args:
        services: by the names that policies use.
    """

    def __init__(self, services: Mapping[str, SafetyService]) -> None:
        self._services = services

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Sequence[Opinion]:
        """What the service finds of the judge's categories in the window, read in its context.

        Raises:
            NoOpinionError: there is no such service, or no answer that says it.
        """
        service = self._services.get(judge.service or "")
        if service is None:
            raise NoOpinionError(Failure.UNKNOWN, "no service of that name is configured")
        scores = await service.scores(window.context + window.text)
        # A category that the service does not know would never match, and nobody would see it.
        if missing := [theirs for theirs, _ in judge.categories if theirs not in scores]:
            raise bad_answer(f"has no score for {', '.join(missing)}")
        return [Opinion(ours, scores[theirs]) for theirs, ours in judge.categories]


@asynccontextmanager
async def safety_services(
    settings: Mapping[str, SafetyServiceSettings],
) -> AsyncIterator[dict[str, SafetyService]]:
    """The services, until the block ends.

    Raises:
        InvalidInputError: a file that the settings name is no good.
    """
    services = {name: SafetyService(name, each) for name, each in settings.items()}
    try:
        yield services
    finally:
        for service in services.values():
            await service.close()
