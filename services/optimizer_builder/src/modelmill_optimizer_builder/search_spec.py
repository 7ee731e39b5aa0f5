"""Objective, load and budget of a build spec: as domain values, with defaults, and their errors."""

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec

from modelmill_optimizer_builder.domain.bounds import WeightCounts, infeasible
from modelmill_optimizer_builder.domain.objectives import (
    DEFAULT_BUDGET_SECONDS,
    Load,
    MeasuredObjective,
    budget_errors,
    objective_errors,
)

OTHER_FILES_BYTES = 64 * 2**20
"""Of a version at most, besides weights."""
LARGEST_WEIGHT_BYTES = 4
"""As a source may have them: float32."""


def is_search(spec: BuildSpec) -> bool:
    """Whether it names an objective in place of a form."""
    return bool(spec.HasField("objective"))


def objective_of(spec: BuildSpec) -> MeasuredObjective:
    """The objective of a spec that has one."""
    name = spec.objective.WhichOneof("measure") or ""
    return MeasuredObjective(name, getattr(spec.objective, name))


def load_of(spec: BuildSpec) -> Load:
    """The load of a spec, with defaults for what is left out."""
    given = {field.name: value for field, value in spec.load.ListFields()}
    return Load(**given)


def fill_defaults(spec: BuildSpec) -> None:
    """Write what a search does into its spec, so that a later default does not change it."""
    for name, value in load_of(spec).as_json().items():
        setattr(spec.load, name, value)
    spec.budget_seconds = spec.budget_seconds or DEFAULT_BUDGET_SECONDS


def search_errors(spec: BuildSpec, *, has_price: bool) -> list[str]:
    """Errors of objective, load and budget that need no lookup.

    Args:
        has_price: Whether the service knows what its machine costs.
    """
    if not is_search(spec):
        given = {"load": spec.HasField("load"), "budget_seconds": spec.budget_seconds > 0}
        return [
            f"{name} belongs to an objective. Give one, or leave it out"
            for name, is_given in given.items()
            if is_given
        ]
    name = spec.objective.WhichOneof("measure")
    value = getattr(spec.objective, name) if name else 0.0
    errors = objective_errors(name, value, has_price=has_price)
    if spec.target_form:
        errors.append(
            f"target_form {spec.target_form[:64]!r} is given beside an objective. Give one of both:"
            " an objective has all forms tried that a service here runs"
        )
    if spec.max_accuracy_loss and not spec.dataset_id:
        errors.append(
            "max_accuracy_loss limits how many more test rows may be answered wrongly, and without"
            " a dataset there are no test rows. Give dataset_id, or leave the limit out: then "
            "nothing is scored"
        )
    seconds = spec.budget_seconds or DEFAULT_BUDGET_SECONDS
    return [*errors, *load_of(spec).errors(), *budget_errors(seconds)]


def least_size_error(spec: BuildSpec, size_bytes: int) -> list[str]:
    """That no form of a version of that many bytes is as small as the objective."""
    parameters = max(0, size_bytes - OTHER_FILES_BYTES) // LARGEST_WEIGHT_BYTES
    reason = infeasible(objective_of(spec), load_of(spec), WeightCounts(parameters, 0))
    return [f"objective cannot be met by any form: at least {reason}"] if reason else []
