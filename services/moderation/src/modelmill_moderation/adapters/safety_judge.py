"""Service judges: content-safety services configured by the operator."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from modelmill_guard.judge import Judge, Opinion, Window

from modelmill_moderation.adapters.safety_service import SafetyService
from modelmill_moderation.domain.no_opinion import Failure, NoOpinionError, bad_answer
from modelmill_moderation.safety_service_settings import SafetyServiceSettings


class SafetyJudge:
    """`ask_judge.JudgesWindows` for judges that name a service.

    Args:
        services: Services by the name used in policies.
    """

    def __init__(self, services: Mapping[str, SafetyService]) -> None:
        self._services = services

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Sequence[Opinion]:
        """Scores of the judge's categories for the window with its context.

        Raises:
            NoOpinionError: There is no such service, or no valid response.
        """
        service = self._services.get(judge.service or "")
        if service is None:
            raise NoOpinionError(Failure.UNKNOWN, "no service of that name is configured")
        scores = await service.scores(window.context + window.text)
        # A category unknown to the service would never match, silently.
        if missing := [theirs for theirs, _ in judge.categories if theirs not in scores]:
            raise bad_answer(f"has no score for {', '.join(missing)}")
        return [Opinion(ours, scores[theirs]) for theirs, ours in judge.categories]


@asynccontextmanager
async def safety_services(
    settings: Mapping[str, SafetyServiceSettings],
) -> AsyncIterator[dict[str, SafetyService]]:
    """Open the services while the block lasts.

    Raises:
        InvalidInputError: A file named in the settings cannot be used.
    """
    services = {name: SafetyService(name, each) for name, each in settings.items()}
    try:
        yield services
    finally:
        for service in services.values():
            await service.close()
