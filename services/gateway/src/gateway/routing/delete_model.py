"""Take a model version, and the builds made from it, out of use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.access import Caller
from gateway.own_writes import CatchesUp, until_seen


@dataclass(frozen=True)
class RetiredVersions:
    """What went, the asked version first. `sequence` is that of the last `model.retired`."""

    version_ids: Sequence[str]
    sequence: int


class RetiresModels(Protocol):
    """Who retires model versions."""

    async def retire_model(
        self, *, tenant: str, version_id: str, requested_by: str
    ) -> RetiredVersions: ...


class DeleteModel:
    """Takes version ids only: what an alias or a name means may change while somebody deletes."""

    def __init__(self, retiring: RetiresModels, models: CatchesUp) -> None:
        self._retiring = retiring
        self._models = models

    async def __call__(self, version_id: str, caller: Caller) -> Sequence[str]:
        """Delete it; gives every version id that went, the asked one first.

        Raises:
            NotFoundError: unknown, deleted, or not the caller's own.
            PreconditionError: it is in use; the message says by what.
            UnavailableError: the trainer or the bus does not answer.
        """
        retired = await self._retiring.retire_model(
            tenant=caller.tenant, version_id=version_id, requested_by=caller.subject
        )
        await until_seen(self._models, retired.sequence)
        return retired.version_ids
