"""Converts EvaluationSpec messages to the domain's evaluation plan."""

from collections.abc import Sequence
from dataclasses import replace

from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.evaluation_plan import (
    DATASET_SUITE,
    MAX_TASKS,
    EvaluationPlan,
    Protected,
    Slice,
    SuiteName,
    decide_plan,
    errors_of_suite,
    why_no_mean,
)
from modelmill_trainer.evaluating.tasks.config import TaskConfig, read_config

LIMITS = ("max_rows", "max_new_tokens", "seed", "resamples")


def plan_of(spec: EvaluationSpec) -> tuple[EvaluationPlan, list[TaskConfig]]:
    """The validated plan and tasks of a spec.

    Raises:
        InvalidInputError: lists every error of plan and tasks.
    """
    errors: list[str] = []
    tasks = _tasks(spec, errors)
    suites = [DATASET_SUITE] if spec.dataset_id else []
    suites += [task.name for task in tasks]
    suite = SuiteName(spec.suite.name, spec.suite.license) if spec.HasField("suite") else None
    errors += errors_of_suite(suite, suites)
    plan: EvaluationPlan | None = None
    try:
        plan = decide_plan(
            split=spec.split,
            measures=list(spec.measures),
            slices=[Slice(each.by, tuple(each.edges)) for each in spec.slices],
            protections=_protections(spec),
            limits={name: getattr(spec, name) for name in LIMITS},
            suites=suites,
            without_mean=why_no_mean(suite, {task.name: task.measures[0] for task in tasks}),
            compares=bool(spec.compare_to),
        )
    except InvalidInputError as error:
        errors += error.errors
    if errors or plan is None:
        raise InvalidInputError(errors)
    return replace(plan, suite=suite, with_prompts=spec.with_prompts), tasks


def decided_spec(spec: EvaluationSpec, plan: EvaluationPlan) -> EvaluationSpec:
    """A copy of `spec` with every default filled in, so that the job record is complete."""
    written = EvaluationSpec()
    written.CopyFrom(spec)
    if spec.dataset_id:
        written.split = plan.split
    for name in LIMITS:
        setattr(written, name, getattr(plan, name))
    for given, decided in zip(written.slices, plan.slices, strict=True):
        given.edges[:] = decided.edges
    return written


def _tasks(spec: EvaluationSpec, errors: list[str]) -> list[TaskConfig]:
    if len(spec.tasks) > MAX_TASKS:
        errors.append(f"at most {MAX_TASKS} tasks, got {len(spec.tasks)}")
    tasks: list[TaskConfig] = []
    for number, each in enumerate(spec.tasks[:MAX_TASKS], 1):
        try:
            tasks.append(read_config(each.config))
        except InvalidInputError as error:
            errors += [f"task {number}: {one}" for one in error.errors]
    errors += _errors_of_names([task.name for task in tasks])
    return tasks


def _errors_of_names(names: Sequence[str]) -> list[str]:
    errors = [
        f"two tasks are called {n!r}" for n in sorted({n for n in names if names.count(n) > 1})
    ]
    if DATASET_SUITE in names:
        errors.append(f"a task must not be called {DATASET_SUITE!r}")
    return errors


def _protections(spec: EvaluationSpec) -> list[Protected]:
    return [
        Protected(
            measure=each.measure,
            slice_by=each.slice_by,
            slice_value=each.slice_value,
            worst=each.worst if each.HasField("worst") else None,
            largest_loss=each.largest_loss if each.HasField("largest_loss") else None,
            suite=each.suite,
        )
        for each in spec.protections
    ]
