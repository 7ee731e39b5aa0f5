"""Validates evaluation specs, before they are queued or sized."""

import asyncio
from functools import partial

from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.envelope import text_of
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_registry.catalogue import DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.evaluating.tasks.config import TaskConfig
from modelmill_trainer.evaluation_spec import decided_spec, plan_of
from modelmill_trainer.stored_records import AliasReader

WHY_NO_MODELS = "the trainer has no inference service. Set TRAINER_INFERENCE_ADDRESS"
EVALUATION_NEEDS = MachineSize(cpus=1, memory_bytes=512 << 20)
"""Of the child process; the evaluated models run in the inference service."""


class CheckEvaluationSpec:
    """Validates the whole spec and reports every error at once.

    Args:
        can_ask: Whether an inference service is configured.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        aliases: AliasReader,
        datasets: DatasetCatalogue,
        files: FileCatalogue,
        *,
        can_ask: bool,
    ) -> None:
        self._models = models
        self._aliases = aliases
        self._datasets = datasets
        self._files = files
        self._can_ask = can_ask

    async def __call__(self, tenant: str, spec: EvaluationSpec) -> EvaluationSpec:
        """The validated spec with defaults filled in.

        Raises:
            PreconditionError: no inference service is configured.
            NotFoundError: a model, the dataset or a file is unknown, and nothing else is wrong.
            InvalidInputError: the spec or a task is wrong; lists every error.
            UnavailableError: one of them is not known here, and the bus does not answer.
        """
        if not self._can_ask:
            raise PreconditionError(WHY_NO_MODELS)
        errors: list[str] = [] if spec.model else ["model is missing"]
        missing: list[str] = []
        if not spec.dataset_id and not spec.tasks:
            errors.append("there is nothing to evaluate on. Give a dataset_id, tasks or both")
        for name in filter(None, (spec.model, spec.compare_to)):
            await self._check_model(tenant, name, errors, missing)
        if spec.dataset_id:
            try:
                await self._datasets.look(
                    lambda: self._datasets.get(tenant, spec.dataset_id), DATASET_READY
                )
            except NotFoundError as error:
                missing.append(error.message)
        try:
            # Parsing task files takes long enough to block the event loop.
            plan, tasks = await asyncio.to_thread(plan_of, spec)
            await self._check_files(tenant, spec, tasks, errors, missing)
        except InvalidInputError as error:
            raise InvalidInputError([*errors, *error.errors, *missing]) from error
        if errors:
            raise InvalidInputError([*errors, *missing])
        if missing:
            raise NotFoundError("; ".join(missing))
        return decided_spec(spec, plan)

    def dataset_rows(self, tenant: str, spec: EvaluationSpec) -> int:
        """Rows of the dataset that a validated spec reads, at most; 0 without a dataset."""
        if not spec.dataset_id:
            return 0
        dataset = self._datasets.get(tenant, spec.dataset_id)
        return min(dataset.counts.get(spec.split, spec.max_rows), spec.max_rows)

    async def _check_model(
        self, tenant: str, name: str, errors: list[str], missing: list[str]
    ) -> None:
        """Check that `name` is a version or an alias of one version."""
        try:
            alias = await self._aliases.find(tenant, name)
        except InvalidInputError:
            alias = None
        if alias is not None:
            if text_of(alias.options, "kind") == "cascade":
                errors.append(f"{name[:80]!r} is a cascade of two versions. Evaluate each of them")
            return
        try:
            await self._models.look(lambda: self._models.get(tenant, name), MODEL_READY)
        except NotFoundError as error:
            missing.append(error.message)

    async def _check_files(
        self,
        tenant: str,
        spec: EvaluationSpec,
        tasks: list[TaskConfig],
        errors: list[str],
        missing: list[str],
    ) -> None:
        """Check that each task has every file that it names, and that the files exist."""
        for given, task in zip(spec.tasks, tasks, strict=True):
            found: list[str] = []
            unknown = False
            for file_id in given.data_file_ids:
                try:
                    file = await self._files.look(partial(self._files.get, tenant, file_id))
                    found.append(file.filename)
                except NotFoundError as error:
                    missing.append(error.message)
                    unknown = True
            if not unknown:
                errors += _errors_of_files(task, found)


def _errors_of_files(task: TaskConfig, found: list[str]) -> list[str]:
    errors = [
        f"task {task.name}: no given file is called {name[:80]!r}"
        for name in sorted(task.files - set(found))
    ]
    errors += [
        f"task {task.name}: two files are called {name[:80]!r}"
        for name in sorted({name for name in found if found.count(name) > 1})
    ]
    errors += [
        f"task {task.name}: {name[:80]!r} must be a .jsonl file"
        for name in sorted(task.files & set(found))
        if not name.endswith(".jsonl")
    ]
    return errors
