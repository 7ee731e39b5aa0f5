"""Use case: whether a model can teach another by its logits."""

import asyncio

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError
from modelmill_token_files.tokenizer_digest import Reads, reads_alike

from modelmill_trainer.domain.methods import FOREIGN_TEACHER, OTHER_TEACHER


class Teachers:
    """Teachers that runs load, as their files tell of them; weights are not read."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def check(
        self, base: ModelReady, teacher: ModelReady, errors: list[str], missing: list[str]
    ) -> None:
        """Append to one of the lists why the teacher's words are not the base's."""
        try:
            alike = await asyncio.to_thread(
                reads_alike, await self._files(base), await self._files(teacher)
            )
        except NotFoundError as error:
            missing.append(error.message)
            return
        if not alike:
            errors.append(
                f"teacher_version_id: {teacher.version_id}: {FOREIGN_TEACHER}. {OTHER_TEACHER}"
            )

    async def _files(self, model: ModelReady) -> Reads:
        manifest = await asyncio.to_thread(self._store.manifest, model.digest)
        names = {entry.path for entry in manifest.files}

        def read(name: str) -> bytes:
            return self._store.content(model.digest, name) if name in names else b""

        return read
