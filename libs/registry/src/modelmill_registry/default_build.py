"""Default build of a trained version, and when a build is too slow or too lossy to serve.

Its ids follow from the version's, so that whoever knows the version can tell what is decided.
"""

from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.kinds import OPTIMIZE, job_id, prefix_of, version_id_of

FORM = "openvino-int8"
SOURCE_FORMS = ("adapter", "safetensors")
UNMERGED_METHODS = ("prefix", "prompt")
"""What they train stands before every text and is no change of weights: no build can hold it."""
UNFINISHED_METHODS = (*UNMERGED_METHODS, "pruned")
"""What no build is made of unasked: a pruned model is to be trained first."""
ALLOWED = "_allowed"
"""Ends the name of a metric that is the limit of the metric named before it."""


@dataclass(frozen=True)
class DefaultBuild:
    """The order and what comes of it."""

    idempotency_key: str
    job_id: str
    version_id: str
    form: str


def default_build_of(version: ModelReady) -> DefaultBuild | None:
    """What is built of a version that has just become ready, unasked; None for nothing.

    What training made is built. An import is not: nobody said that it will be served.
    """
    if not version.job_id or version.form not in SOURCE_FORMS:
        return None
    if version.method in UNFINISHED_METHODS:
        return None
    key = f"default-build:{version.version_id}"
    job = job_id(prefix_of(OPTIMIZE), tenant=version.tenant, kind=OPTIMIZE, idempotency_key=key)
    return DefaultBuild(key, job, version_id_of(job, FORM), FORM)


def is_slower(build: ModelReady) -> bool:
    """Whether its own checks measured it as slower than its source, beyond their noise.

    What was not measured is taken for no slower.
    """
    figures = build.metrics
    highest = figures["speedup_high"] if "speedup_high" in figures else figures.get("speedup", 1.0)
    return bool(highest < 1.0)


def is_lossy(build: ModelReady) -> bool:
    """Whether it loses more than its order allowed, by what its own checks measured."""
    return any(loss is not None and loss > limit for loss, limit in _losses(build))


def is_unscored(build: ModelReady) -> bool:
    """Whether its order limits a loss that was not measured, for want of rows."""
    return any(loss is None for loss, _ in _losses(build))


def is_held_back(build: ModelReady) -> bool:
    """Whether no name is served by it unless an alias names it by its id."""
    return is_slower(build) or is_lossy(build) or is_unscored(build)


def _losses(build: ModelReady) -> list[tuple[float | None, float]]:
    """Each loss that has a limit, where it was measured, and the limit."""
    figures = build.metrics
    limits = [name for name in figures if name.endswith(ALLOWED)]
    return [(figures.get(name.removesuffix(ALLOWED)), figures[name]) for name in limits]
