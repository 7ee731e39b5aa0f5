"""What the gateway knows of the bus, in memory, so that it answers when the bus is away."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_bus.bus import Bus
from modelmill_bus.read_model import FreshLook
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_job_index.index import JobGauges, JobIndex
from modelmill_job_index.snapshots import Snapshots
from modelmill_registry.aliases import AliasBook
from modelmill_registry.catalogue import DatasetCatalogue, Made, ModelCatalogue
from modelmill_service_kit.errors import UnavailableError
from prometheus_client import REGISTRY

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.domain.request_context import RequestsInHand
from modelmill_gateway.evals.manage_evals import EvalBook
from modelmill_gateway.experiments.experiment_book import ExperimentBook
from modelmill_gateway.guarding.policy_book import PolicyBook
from modelmill_gateway.identity.credentials import EndRequests
from modelmill_gateway.identity.key_book import KeyBook
from modelmill_gateway.routing.find_model import DefaultBuilds
from modelmill_gateway.routing.show_models import ServedVersions
from modelmill_gateway.spending.budget_book import BudgetBook
from modelmill_gateway.spending.show_usage import UsageBook
from modelmill_gateway.tenants.tenant_book import TenantBook

REPLAY_SECONDS = 300.0
"""How long the read models may take to catch up at the start; without a snapshot of the jobs every
message is read again."""


class ReadModels:
    """Jobs, models, datasets, aliases, policies and API keys with their limits."""

    def __init__(self, bus: Bus) -> None:
        self.models = ModelCatalogue(bus)
        self.datasets = DatasetCatalogue(bus)
        self.aliases = AliasBook(bus)
        self.made = Made(self.models, self.datasets)
        self.jobs = JobIndex(bus, Snapshots(bus), announcements=self.made)
        self.default_builds = DefaultBuilds(self.models, self.jobs)
        self.fresh_models = FreshLook(
            bus, (self.models, MODEL_READY), (self.aliases, "alias.state.*.*")
        )
        self.fresh_datasets = FreshLook(bus, (self.datasets, DATASET_READY))
        self.served = ServedVersions(bus)
        self.policies = PolicyBook(bus)
        self.keys = KeyBook(bus)
        self.budgets = BudgetBook(bus)
        self.usage = UsageBook(bus)
        self.evals = EvalBook(bus)
        self.experiments = ExperimentBook(bus)
        self.tenants = TenantBook(bus)
        self.tenants.on_erased = self.jobs.forget
        self.in_hand = RequestsInHand()
        """Of keys: they end with these."""

    async def follow(self, background: Background) -> None:
        """Follow the bus in the background; returns once all of them have caught up.

        Raises:
            UnavailableError: they did not within five minutes.
        """
        books = (
            *(self.jobs, self.models, self.datasets, self.aliases, self.policies),
            *(self.keys, self.budgets, self.evals, self.served, self.tenants),
            self.experiments,
        )
        for book in books:
            background.start(self._run_jobs() if book is self.jobs else book.run())
        # Not waited for: only who asks what was used needs it, and it may be long.
        background.start(self.usage.run())
        background.start(EndRequests(self.keys, self.in_hand).run())
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                for book in books:
                    await book.ready.wait()
        except TimeoutError as error:
            raise UnavailableError("the bus could not be read to its end") from error

    async def _run_jobs(self) -> None:
        # What jobs made is known first, or the successes of the past would be kept back.
        await self.models.ready.wait()
        await self.datasets.ready.wait()
        await self.jobs.run()

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Show on the metrics page, until the block ends, how many jobs there are."""
        gauges = JobGauges(self.jobs)
        REGISTRY.register(gauges)
        try:
            yield
        finally:
            REGISTRY.unregister(gauges)
