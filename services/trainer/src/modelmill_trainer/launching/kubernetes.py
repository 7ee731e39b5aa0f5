"""Ranks on a cluster, as a TrainJob."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from modelmill_trainer.domain.cluster import Cluster
from modelmill_trainer.launching.folder_links import FolderLinks
from modelmill_trainer.launching.kubernetes_api import KubernetesError, TrainJobs
from modelmill_trainer.launching.launcher import Launch, Rank
from modelmill_trainer.launching.train_job import how_ended, train_job

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
UNREACHABLE_SECONDS = 300.0
"""So long the API server may not answer: the ranks go on without it."""


class FarRanks:
    """A TrainJob and the links to its ranks."""

    def __init__(
        self,
        links: FolderLinks,
        jobs: TrainJobs,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._links = links
        self._jobs = jobs
        self._name = name
        self._clock = clock
        self._next_look = 0.0
        self._answered = clock()
        self._ended: str | None = None

    @property
    def reported(self) -> list[Rank]:
        """See `RunningRanks`."""
        return list(self._links.ranks)

    def heard(self, seconds: float) -> tuple[Rank, dict[str, Any]] | None:
        """See `RunningRanks`."""
        return self._links.heard(seconds)

    def ended(self) -> str | None:
        """See `RunningRanks`; asks the API server every few seconds."""
        if self._ended is None and self._clock() >= self._next_look:
            self._next_look = self._clock() + LOOK_SECONDS
            self._ended = self._look()
        return self._ended

    def _look(self) -> str | None:
        try:
            job = self._jobs.read(self._name)
        except KubernetesError as error:
            if self._clock() - self._answered > UNREACHABLE_SECONDS:
                return str(error)
            log.warning("TrainJob %s: %s", self._name, error)
            return None
        self._answered = self._clock()
        return how_ended(job) if job is not None else f"TrainJob {self._name} is gone"


class KubernetesLauncher:
    """Creates a TrainJob, and deletes it however the run ends."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._jobs = TrainJobs(cluster)

    @contextmanager
    def started(self, launch: Launch) -> Iterator[FarRanks]:
        """See `Launcher`. Raises KubernetesError when the API server refuses the job."""
        ranks = launch.distribution.ranks
        request = {**launch.request, "threads": self._cluster.rank_cpus}
        links = FolderLinks(request, launch.folder, ranks)
        # The folder is one attempt's own.
        name = "mill-" + hashlib.sha256(str(launch.folder).encode()).hexdigest()[:24]
        manifest = train_job(name, self._cluster, ranks=ranks, links=str(links.path))
        try:
            self._jobs.create(manifest)
            yield FarRanks(links, self._jobs, name)
        finally:
            self._jobs.delete(name)
