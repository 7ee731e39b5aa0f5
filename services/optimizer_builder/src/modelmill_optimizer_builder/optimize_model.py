"""Use case: run a search job, from an objective to a verdict and registered builds."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobResult
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.subjects import MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.announcements import announced_result, further_version
from modelmill_jobs.errors import JobFailed
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.machine_size import MachineSize

from modelmill_optimizer_builder.build_model import BuildInputs, BuildModel, WrittenBuild
from modelmill_optimizer_builder.domain.bounds import WeightCounts, infeasible
from modelmill_optimizer_builder.domain.candidates import (
    context_tokens,
    refused_forms,
    served_forms,
)
from modelmill_optimizer_builder.domain.forms import ADAPTER
from modelmill_optimizer_builder.domain.group_size import is_mixture_of_experts
from modelmill_optimizer_builder.domain.objectives import COST, Load
from modelmill_optimizer_builder.domain.pareto import SOURCE, Point
from modelmill_optimizer_builder.domain.search_report import NAME, SearchReport
from modelmill_optimizer_builder.read_earlier import ReadEarlier
from modelmill_optimizer_builder.search_forms import (
    BudgetTooShortError,
    SearchForms,
    SearchOrder,
    Workshop,
    registered,
)
from modelmill_optimizer_builder.search_spec import load_of, objective_of

REPORT_KIND, REPORT_FORM = "report", "optimization"


@dataclass(frozen=True)
class SourceFolders:
    """Where a source lies on this machine."""

    base: Path
    """The model itself where there is no adapter."""
    adapter: Path | None

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer that it was trained with."""
        own = self.adapter
        return own if own is not None and (own / "tokenizer.json").is_file() else self.base


class BuildWorkshop(Workshop, Protocol):
    """A workshop that keeps what it builds in folders."""

    def target(self, form: str) -> Path:
        """Folder of a candidate's build."""

    def made(self, form: str) -> WrittenBuild:
        """What was said of a candidate that was built and not dropped."""

    def spec_of(self, form: str) -> BuildSpec:
        """The order of that form alone."""


NewWorkshop = Callable[[ActiveJob, BuildSpec, BuildInputs, SourceFolders, Load], BuildWorkshop]


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a source before any work."""

    folders: SourceFolders
    config: Mapping[str, Any]
    weights: WeightCounts


class OptimizeModel:
    """Idempotent: another attempt of a job gives the same version ids.

    Args:
        count_weights: Of a model folder.
        machine: What the worker offers to a job.
        price_per_hour: Of the machine; None where nobody said.
    """

    def __init__(
        self,
        build_model: BuildModel,
        read_earlier: ReadEarlier,
        store: ArtifactStore,
        *,
        new_workshop: NewWorkshop,
        count_weights: Callable[[Path], WeightCounts],
        machine: MachineSize,
        price_per_hour: float | None,
    ) -> None:
        self._new_workshop = new_workshop
        self._count_weights = count_weights
        self._build_model = build_model
        self._read_earlier = read_earlier
        self._store = store
        self._machine = machine
        self._price_per_hour = price_per_hour

    async def __call__(self, job: ActiveJob, spec: BuildSpec) -> JobResult:
        """Search, and store the builds that no other one beats.

        Raises:
            JobFailed: The source or dataset was deleted, the objective cannot be met by any form,
                or the budget is too short for one candidate.
        """
        inputs = await self._build_model.load_inputs(job.tenant, spec)
        if spec.dataset_id and not inputs.choices:
            raise JobFailed(
                "INVALID_INPUT",
                "the dataset asks for no choices, so no loss can be measured with it",
                "Name a dataset whose answers are choices, or none.",
            )
        try:
            facts = await asyncio.to_thread(self._facts, inputs)
        except ValueError as error:
            raise JobFailed(
                "INVALID_INPUT", f"the source cannot be read: {error}", "Import the model again."
            ) from error
        order = await self._order(job, spec, facts)
        await self._refuse_infeasible(job, order, facts)
        workshop = self._new_workshop(job, spec, inputs, facts.folders, order.load)
        try:
            report = await SearchForms(workshop)(order)
        except BudgetTooShortError as error:
            raise JobFailed("BUDGET_TOO_SHORT", str(error), "Order it with more time.") from error
        await job.report("store")
        return await self._stored(job, inputs, workshop, order, report)

    def _facts(self, inputs: BuildInputs) -> SourceFacts:
        base = self._store.materialise(inputs.base_digest)
        is_adapter = inputs.source.form == ADAPTER
        adapter = self._store.materialise(inputs.source.digest) if is_adapter else None
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        weights = self._count_weights(base)
        if is_mixture_of_experts(config):
            weights = replace(weights, read_by_step=0)
        return SourceFacts(SourceFolders(base, adapter), config, weights)

    async def _order(self, job: ActiveJob, spec: BuildSpec, facts: SourceFacts) -> SearchOrder:
        weights = facts.weights.bf16_bytes
        refused = refused_forms(facts.config, weights, self._machine)
        return SearchOrder(
            objective=objective_of(spec),
            load=load_of(spec),
            most_lost=spec.max_accuracy_loss,
            budget_seconds=spec.budget_seconds,
            price_per_hour=self._price_per_hour,
            weights_bytes=weights,
            forms=tuple(form.name for form in served_forms() if form.name not in refused),
            refused=refused,
            earlier=await self._read_earlier(job.tenant),
        )

    async def _refuse_infeasible(
        self, job: ActiveJob, order: SearchOrder, facts: SourceFacts
    ) -> None:
        """Refuse, before any work, what arithmetic rules out."""
        load, longest = order.load, context_tokens(facts.config)
        if longest and load.prompt_tokens + load.output_tokens > longest:
            raise JobFailed(
                "INVALID_INPUT",
                f"a prompt of {load.prompt_tokens} and an answer of {load.output_tokens} tokens "
                f"exceed the model's context of {longest}",
                "Order a smaller load.",
            )
        if order.objective.name == COST and order.price_per_hour is None:
            raise JobFailed(
                "INVALID_INPUT",
                "the worker does not know what its machine costs",
                "Its operator sets OPTIMIZER_BUILDER_MACHINE_PRICE_PER_HOUR.",
            )
        if reason := infeasible(order.objective, load, facts.weights, order.price_per_hour):
            objective = {order.objective.name: order.objective.value}
            await job.save_summary(
                {"verdict": "infeasible", "objective": objective, "reason": reason}
            )
            raise JobFailed("INFEASIBLE", f"{order.objective.words()} cannot be met", reason)

    async def _stored(
        self,
        job: ActiveJob,
        inputs: BuildInputs,
        workshop: BuildWorkshop,
        order: SearchOrder,
        report: SearchReport,
    ) -> JobResult:
        """The result of the job; nobody is told of any build before it is recorded."""
        versions: dict[str, ModelReady] = {}
        for point in registered(report.points, order):
            if point.form != SOURCE:
                versions[point.form] = await self._stored_point(
                    job, inputs, workshop, report, point
                )
        chosen = report.verdict.chosen.form
        summary = _summary(report, {form: it.version_id for form, it in versions.items()})
        if chosen in versions:
            ready = versions.pop(chosen)
            result = announced_result(
                ready.version_id, ready.digest, MODEL_READY, ready, dict(ready.metrics) | summary
            )
        else:
            result = JobResult(
                digest=await asyncio.to_thread(self._commit_report, job.folder, inputs, report),
                version_id=inputs.source.version_id,
                announce_subject=MODEL_READY if versions else "",
                summary=ParseDict(summary, Struct()),
            )
        result.further.extend(further_version(it.version_id, it) for it in versions.values())
        return result

    async def _stored_point(
        self,
        job: ActiveJob,
        inputs: BuildInputs,
        workshop: BuildWorkshop,
        report: SearchReport,
        point: Point,
    ) -> ModelReady:
        target, made = workshop.target(point.form), workshop.made(point.form)
        made = replace(made, figures={**made.figures, **load_figures(report, point)})
        await asyncio.to_thread(report.write, target)
        return await self._build_model.store_build(
            job, workshop.spec_of(point.form), inputs, target, made, {NAME: report.as_json()}
        )

    def _commit_report(self, folder: Path, inputs: BuildInputs, report: SearchReport) -> str:
        target = folder / "report"
        target.mkdir()
        report.write(target)
        return self._store.commit(
            target, kind=REPORT_KIND, form=REPORT_FORM, made_from=inputs.made_from
        ).digest


def load_figures(report: SearchReport, point: Point) -> dict[str, float]:
    """Metrics of a version: what was measured of it and of its source under the load."""
    source = next(it for it in report.points if it.form == SOURCE)
    found = {f"load_{name}": float(value) for name, value in report.load.as_json().items()}
    for name, figure in point.figures.items():
        found |= {f"load_{name}": figure.value}
        found |= {f"load_{name}_low": figure.low, f"load_{name}_high": figure.high}
        found |= {f"load_{name}_source": source.figures[name].value}
    return found


def _summary(report: SearchReport, versions: Mapping[str, str]) -> dict[str, Any]:
    """Verdict, chosen point and table, for the job's record."""
    found = report.as_json()
    for point in found["points"]:
        point["version_id"] = versions.get(point["form"], "")
    kept = ("verdict", "chosen", "reason", "objective", "load", "cost", "untried", "points")
    return {name: found[name] for name in kept} | {"seconds": found["seconds"]}
