"""What jobs have made: their successes are believed once what they announce is known here."""

from modelmill.jobs.v1.job_pb2 import JobResult
from modelmill_bus.subjects import DATASET_READY, MODEL_READY

from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue


class Made:
    """Looks in the catalogues of what jobs announce; both are followed elsewhere."""

    def __init__(self, models: ModelCatalogue, datasets: DatasetCatalogue) -> None:
        self._catalogues: dict[str, ModelCatalogue | DatasetCatalogue] = {
            MODEL_READY: models,
            DATASET_READY: datasets,
        }

    def has(self, result: JobResult) -> bool:
        """Whether it was announced, whatever became of it; true of one that announces nothing."""
        catalogue = self._catalogues.get(result.announce_subject)
        return catalogue is None or catalogue.was_announced(result.version_id)

    async def until(self, result: JobResult) -> None:
        """Return once it was announced."""
        catalogue = self._catalogues.get(result.announce_subject)
        if catalogue is not None:
            await catalogue.until(lambda: self.has(result))
