"""Experiments of a tenant: made, shown and stopped."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.kinds import job_id
from modelmill_bus.read_model import until_seen
from modelmill_bus.subjects import feedback_recorded, usage_recorded
from modelmill_experiments.phases import Phases
from modelmill_experiments.plan import BASE, PlanError
from modelmill_registry.aliases import AliasBook
from modelmill_service_kit.errors import AlreadyExistsError, PreconditionError
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.models import Variant
from modelmill_gateway.experiments.count_answers import FEEDBACK, MEASURED, USAGE
from modelmill_gateway.experiments.experiment_book import LIVE, ExperimentBook, plan_of
from modelmill_gateway.experiments.outcomes import ExperimentOutcome, ended, outcome_of
from modelmill_gateway.experiments.steer_experiment import SteerExperiment, split_or_version
from modelmill_gateway.routing.move_alias import MoveAlias

KIND, PREFIX = "experiment", "exp"
MOST_LIVE = 20
"""Of a tenant: each is counted by every process that works."""


@dataclass(frozen=True)
class Candidate:
    """A version that is compared with what the alias means now."""

    name: str
    version_id: str
    share: float


@dataclass(frozen=True)
class ExperimentOrder:
    """Requested experiment."""

    alias: str
    candidates: Sequence[Candidate]
    primary: str
    guardrails: Sequence[str] = ()
    alpha: float = 0.05
    max_harm: Mapping[str, float] = field(default_factory=dict)
    horizon: int = 10_000
    window_seconds: float = 600.0
    holdback: float = 0.1

    @property
    def digest(self) -> bytes:
        """What tells it from another order."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()


class ManageExperiments:
    """All raise NotFoundError for what the tenant has not, and UnavailableError without a bus."""

    def __init__(
        self,
        bus: Bus,
        book: ExperimentBook,
        aliases: AliasBook,
        move_alias: MoveAlias,
        steer: SteerExperiment,
    ) -> None:
        self._bus = bus
        self._book = book
        self._aliases = aliases
        self._move_alias = move_alias
        self._steer = steer

    def list(self, caller: Caller) -> Sequence[pb.ExperimentState]:
        """All of the tenant's, newest first."""
        return self._book.list(caller.tenant)

    def get(self, experiment_id: str, caller: Caller) -> tuple[pb.ExperimentState, Phases]:
        """One of them, with its evidence."""
        state = self._book.get(caller.tenant, experiment_id)
        return state, self._book.evidence(experiment_id)

    async def units(self, experiment_id: str, caller: Caller) -> Sequence[pb.ExperimentUnits]:
        """What it was decided by, in order."""
        self._book.get(caller.tenant, experiment_id)
        return await self._book.units(experiment_id)

    async def create(
        self, order: ExperimentOrder, caller: Caller, idempotency_key: str
    ) -> pb.ExperimentState:
        """Load the candidates, then let the alias mean the base and them; the same key finds it.

        Raises:
            AlreadyExistsError: the key was used for another one.
            BadRequestError: it cannot be run; the message names the field.
            InvalidInputError, PreconditionError, DeadlineError: as `MoveAlias.to_split`.
            PreconditionError: the alias has an experiment or variants, or the tenant too many.
            StaleWriteError: somebody moved the alias since this began.
        """
        seen, state = await self._requested(order, caller, idempotency_key)
        if seen is not None:
            return seen
        outcome = await self._loaded(state, caller.tenant)
        for arm, variant in zip(state.arms, outcome.variants, strict=True):
            arm.version_id = variant.version_id
        state.counts_after[USAGE] = await self._bus.newest_sequence(usage_recorded(caller.tenant))
        said = feedback_recorded(caller.tenant)
        state.counts_after[FEEDBACK] = await self._bus.newest_sequence(said)
        try:
            sequence = await self._book.write(state, expected=0)
        except StaleWriteError:
            return await self._existing(state)
        await until_seen(self._book, sequence)
        started = await self._steer.carry_out(state, outcome, changed_by=caller.subject)
        if started.status == pb.EXPERIMENT_STATUS_STOPPED:
            raise PreconditionError(f"{started.reason}. Look at the alias, and order it again")
        return started

    async def stop(self, experiment_id: str, caller: Caller) -> pb.ExperimentState:
        """End it without a decision: the base has the alias again, or who was promoted."""
        state = (await self._book.newest(caller.tenant, experiment_id)).body
        if state.status not in LIVE:
            return state
        is_watched = state.status == pb.EXPERIMENT_STATUS_WATCHING
        decisions = self._book.evidence(experiment_id).decisions
        found = outcome_of(state, decisions).variants
        # Of a promotion the promoted one comes first.
        kept = found[0].version_id if is_watched else state.arms[0].version_id
        why = f"stopped by {caller.subject}"
        outcome = ended(pb.EXPERIMENT_STATUS_STOPPED, kept, why)
        return await self._steer.carry_out(state, outcome, decisions, changed_by=caller.subject)

    async def _requested(
        self, order: ExperimentOrder, caller: Caller, idempotency_key: str
    ) -> tuple[pb.ExperimentState | None, pb.ExperimentState]:
        """What the key stands for already, if anything; and the record of what is asked for."""
        tenant = caller.tenant
        await self._aliases.catch_up(f"alias.state.{tenant}.*")
        await self._book.catch_up()
        state = pb.ExperimentState(
            experiment_id=job_id(PREFIX, tenant=tenant, kind=KIND, idempotency_key=idempotency_key),
            tenant=tenant,
            alias=order.alias,
            primary=order.primary,
            guardrails=order.guardrails,
            alpha=order.alpha,
            max_harm=order.max_harm,
            horizon=order.horizon,
            window_seconds=order.window_seconds,
            holdback=order.holdback,
            status=pb.EXPERIMENT_STATUS_STARTING,
            changed_by=caller.subject,
            order_digest=order.digest,
        )
        state.arms.extend(
            pb.ExperimentArm(name=each.name, version_id=each.version_id, share=each.share)
            for each in (self._base(order), *order.candidates)
        )
        if self._book.find(state.experiment_id) is not None:
            return await self._existing(state), state
        self._check(state, caller)
        stored = self._base_alias(tenant, order.alias)
        state.arms[0].version_id = stored.body.version_id
        state.alias_sequence = stored.sequence
        state.created_at.GetCurrentTime()
        return None, state

    def _base_alias(self, tenant: str, name: str) -> Stored[AliasState]:
        stored = self._aliases.stored(tenant, name)
        if stored is None or not stored.body.version_id:
            mine = [each.name for each in self._aliases.list(tenant) if each.tenant == tenant]
            raise no_such("alias of your own", name, "/v1/aliases", mine)
        if len(split_or_version(stored.body).variants) > 1:
            raise PreconditionError(f"the alias {name} has variants. Let it mean one version first")
        return stored

    def _base(self, order: ExperimentOrder) -> Candidate:
        share = 1.0 - sum(each.share for each in order.candidates)
        if share <= 0:
            raise BadRequestError(
                "candidates: their shares leave nothing to the base. Give them less than 1"
                " together",
                param="candidates",
            )
        return Candidate(BASE, "", share)

    def _check(self, state: pb.ExperimentState, caller: Caller) -> None:
        try:
            plan = plan_of(state)
            Phases(plan, state.holdback)
        except PlanError as error:
            raise BadRequestError(str(error), param=str(error).partition(":")[0]) from None
        if strange := [name for name in plan.watched if name not in MEASURED]:
            raise BadRequestError(
                f"{', '.join(strange)}: not measured of live answers yet; there are"
                f" {', '.join(sorted(MEASURED))}",
                param="primary" if plan.primary in strange else "guardrails",
            )
        if (other := self._book.of_alias(caller.tenant, state.alias)) is not None:
            raise PreconditionError(
                f"the alias {state.alias} has the experiment {other.experiment_id}. Stop it first"
            )
        if sum(each.status in LIVE for each in self._book.list(caller.tenant)) >= MOST_LIVE:
            raise PreconditionError(f"{MOST_LIVE} experiments run. Stop one first")

    async def _loaded(self, state: pb.ExperimentState, tenant: str) -> ExperimentOutcome:
        """How it starts: with the best form of each version, which an engine has loaded."""
        stored = self._aliases.stored(tenant, state.alias)
        assert stored is not None, "it was asked for"
        outcome = outcome_of(state, ())
        split = outcome.split(split_or_version(stored.body), state.experiment_id)
        meant = await self._move_alias.prepare(split, tenant)
        variants = tuple(Variant(it.name, it.version_id, it.weight) for it in meant.variants)
        return ExperimentOutcome(outcome.status, outcome.phase, variants)

    async def _existing(self, wanted: pb.ExperimentState) -> pb.ExperimentState:
        stored = (await self._book.newest(wanted.tenant, wanted.experiment_id)).body
        if stored.order_digest != wanted.order_digest:
            raise AlreadyExistsError("the idempotency key was used for another experiment")
        return stored
