"""Use case: read what earlier searches measured, from the builds that they registered."""

import asyncio
import logging

from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import DomainError

from modelmill_optimizer_builder.domain.cost_model import EarlierPoint
from modelmill_optimizer_builder.domain.search_report import NAME

MOST_SEARCHES = 16
"""The newest ones, whose reports are read."""
MARK = "load_in_flight"
"""Metric of builds that a search registered."""

log = logging.getLogger(__name__)


class ReadEarlier:
    """Points of the tenant's earlier searches, the newest first."""

    def __init__(self, models: ModelCatalogue, store: ArtifactStore) -> None:
        self._models = models
        self._store = store

    async def __call__(self, tenant: str) -> tuple[EarlierPoint, ...]:
        """What every form that was measured reached, beside its source."""
        digests: dict[str, str] = {}
        for version in self._models.list(tenant):
            if MARK in version.metrics and len(digests) < MOST_SEARCHES:
                digests.setdefault(version.job_id, version.digest)
        found: list[EarlierPoint] = []
        for digest in digests.values():
            found += await asyncio.to_thread(self._points, digest)
        return tuple(found)

    def _points(self, digest: str) -> list[EarlierPoint]:
        try:
            report = self._store.manifest(digest).attributes[NAME]
            return EarlierPoint.of_report(report)
        except (DomainError, KeyError, TypeError) as error:
            log.info("no earlier search can be read in %s: %r", digest, error)
            return []
