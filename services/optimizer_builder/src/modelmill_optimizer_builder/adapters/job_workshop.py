"""Builds and measures the candidates of a search in children of its job."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.materialised import in_use

from modelmill_optimizer_builder.build_model import (
    CHILD_ENVIRONMENT,
    BuildInputs,
    BuildModel,
    WrittenBuild,
)
from modelmill_optimizer_builder.domain.measurements import LoadRepeat
from modelmill_optimizer_builder.domain.objectives import Figure, Load
from modelmill_optimizer_builder.domain.pareto import SOURCE
from modelmill_optimizer_builder.optimize_model import SourceFolders
from modelmill_optimizer_builder.search_forms import Built, CandidateRefusedError

MEASURE_CHILD = "modelmill_optimizer_builder.measure_load"
ORDER_CHILD = "modelmill_optimizer_builder.order_candidates"
OF_ONE_FORM = (
    "GREEDY_DISAGREES",
    "LOGITS_DIFFER",
    "NOT_EXPORTABLE",
    "NOT_SMALLER",
    "UNSUPPORTED_ARCHITECTURE",
)
"""Failures that say something of a form; others are of the source, and fail every form."""


class JobWorkshop:
    """`optimize_model.BuildWorkshop` of one attempt of a job."""

    def __init__(
        self,
        build_model: BuildModel,
        job: ActiveJob,
        spec: BuildSpec,
        inputs: BuildInputs,
        source: SourceFolders,
        load: Load,
    ) -> None:
        self._job = job
        self._build_model = build_model
        self._spec = spec
        self._inputs = inputs
        self._source = source
        self._load = load
        self._began = time.monotonic()
        self._made: dict[str, WrittenBuild] = {}

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def target(self, form: str) -> Path:
        return self._job.folder / "candidates" / form

    def made(self, form: str) -> WrittenBuild:
        return self._made[form]

    def spec_of(self, form: str) -> BuildSpec:
        spec = BuildSpec()
        spec.CopyFrom(self._spec)
        spec.target_form = form
        spec.ClearField("objective")
        return spec

    async def build(self, form: str) -> Built:
        try:
            made = await self._build_model.make(
                self._job, self.spec_of(form), self._inputs, self.target(form), is_candidate=True
            )
        except JobFailed as failure:
            if failure.code not in OF_ONE_FORM:
                raise
            await self.drop(form)
            raise CandidateRefusedError(f"{failure.code}, {failure.message}") from failure
        finally:
            await _removed(self._job.folder / "scratch")
        self._made[form] = made
        figures = made.figures
        loss = _figure(figures, "accuracy_loss") if "accuracy_loss" in figures else None
        return Built(int(figures["bytes"]), loss, figures["parity_greedy_agreement"])

    async def repeat(self, form: str) -> LoadRepeat:
        is_source = form == SOURCE
        folder = self._source.base if is_source else self.target(form)
        adapter = self._source.adapter if is_source else None
        request = {
            "form": form,
            "folder": str(folder),
            "adapter": None if adapter is None else str(adapter),
            "tokenizer": str(self._source.tokenizer),
            "load": self._load.as_json(),
        }
        with in_use(self._source.base, *([] if adapter is None else [adapter])):
            found = await self._job.run_child(
                MEASURE_CHILD, request, env=CHILD_ENVIRONMENT, about=form
            )
        return LoadRepeat.of_json(found)

    async def next(self, measured: Mapping[str, float], waiting: Mapping[str, float]) -> str:
        request = {"measured": dict(measured), "waiting": dict(waiting)}
        found = await self._job.run_child(ORDER_CHILD, request)
        return str(found["form"])

    async def drop(self, form: str) -> None:
        self._made.pop(form, None)
        await _removed(self.target(form))


def _figure(figures: Mapping[str, float], name: str) -> Figure:
    return Figure(figures[name], figures[f"{name}_low"], figures[f"{name}_high"])


async def _removed(folder: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
