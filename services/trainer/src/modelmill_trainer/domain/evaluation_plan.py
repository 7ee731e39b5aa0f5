"""Evaluation options: metrics (`measures`), slices, protections and limits, validated as a
whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from modelmill_evaluation.groups import ANSWER, DEFAULT_EDGES, LENGTH, SCRIPT
from modelmill_evaluation.score_names import MEASURES, SHARES
from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.json_value import JsonValue

SPLITS = ("train", "valid", "test")
DATASET_SUITE = "dataset"
"""Suite name of the dataset's rows; every task is a suite under its own name."""
MEAN = "mean"
"""What a protection calls the mean over the tasks of the suite."""
DEFAULT_ROWS, MAX_ROWS = 1_000, 100_000
DEFAULT_NEW_TOKENS, MAX_NEW_TOKENS = 256, 8_192
DEFAULT_RESAMPLES, MAX_RESAMPLES = 1_000, 10_000
MAX_SLICES, MAX_PROTECTIONS, MAX_TASKS = 8, 64, 16
MAX_COLUMN_CHARACTERS = 64


@dataclass(frozen=True)
class Slice:
    """Grouping of rows by a property, for metrics per group."""

    by: str
    edges: tuple[int, ...] = ()
    """Bucket edges, for slices by length only."""


@dataclass(frozen=True)
class Protected:
    """A regression threshold on one metric."""

    measure: str
    slice_by: str
    """Empty for all rows."""
    slice_value: str
    worst: float | None
    largest_loss: float | None
    suite: str
    """May be empty if there is one suite."""


@dataclass(frozen=True)
class SuiteName(JsonValue):
    """Name of a set of tasks, and the licence of their rows."""

    name: str
    license: str


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan(JsonValue):
    """Sampling and metrics of an evaluation; models, datasets and tasks are elsewhere."""

    split: str
    measures: tuple[str, ...]
    """Empty for all applicable metrics."""
    slices: tuple[Slice, ...]
    protections: tuple[Protected, ...]
    max_rows: int
    max_new_tokens: int
    seed: int
    resamples: int
    suite: SuiteName | None = None
    """The suite that the tasks are of; None where they are of none."""
    with_prompts: bool = False
    """Whether the rows of the result have their prompts."""


def decide_plan(
    *,
    split: str,
    measures: Sequence[str],
    slices: Sequence[Slice],
    protections: Sequence[Protected],
    limits: Mapping[str, int],
    suites: Sequence[str],
    without_mean: str,
    compares: bool,
) -> EvaluationPlan:
    """Validate the options and fill in defaults.

    Args:
        limits: max_rows, max_new_tokens, seed and resamples; 0 for the default.
        suites: Names of the suites: the dataset and the tasks.
        without_mean: Why no mean over tasks is measured; empty where it is.
        compares: Whether a second model is evaluated on the same rows.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    errors = _errors_of_limits(limits) + _errors_of_names(split, measures)
    errors += _errors_of_slices(slices) + _errors_of_bounds(protections, compares)
    errors += _errors_of_protections(protections, slices, measures, suites, without_mean)
    if errors:
        raise InvalidInputError(errors)
    return EvaluationPlan(
        split=split or "test",
        measures=tuple(measures),
        slices=tuple(map(_with_edges, slices)),
        protections=tuple(protections),
        max_rows=limits["max_rows"] or DEFAULT_ROWS,
        max_new_tokens=limits["max_new_tokens"] or DEFAULT_NEW_TOKENS,
        seed=limits["seed"] or 1,
        resamples=limits["resamples"] or DEFAULT_RESAMPLES,
    )


def errors_of_suite(suite: SuiteName | None, suites: Sequence[str]) -> list[str]:
    """What is wrong with the name of a suite.

    Args:
        suites: The dataset and the tasks.
    """
    if suite is None:
        return []
    texts = {"suite.name": suite.name, "suite.license": suite.license}
    errors = [
        f"{what} must be a text of 1 to {MAX_COLUMN_CHARACTERS} characters"
        for what, text in texts.items()
        if not 0 < len(text) <= MAX_COLUMN_CHARACTERS
    ]
    if not set(suites) - {DATASET_SUITE}:
        errors.append("suite names the suite of the tasks, and there are no tasks")
    return errors


def why_no_mean(suite: SuiteName | None, metric_of: Mapping[str, str]) -> str:
    """Why there is no mean over the tasks; empty where there is.

    Args:
        metric_of: The first metric by task. Those of other scales, such as BLEU or perplexity, have
            no mean with shares.
    """
    strangers = [
        f"{name} by {metric}" for name, metric in metric_of.items() if metric not in SHARES
    ]
    if suite is None:
        return "a mean is of the tasks of a suite. Name it"
    return f"no mean: a task is measured {strangers[0]}" if strangers else ""


def _with_edges(each: Slice) -> Slice:
    return Slice(each.by, each.edges or DEFAULT_EDGES) if each.by == LENGTH else each


def _errors_of_names(split: str, measures: Sequence[str]) -> list[str]:
    errors = [_unknown_measure(name) for name in measures if name not in MEASURES]
    if split and split not in SPLITS:
        errors.append(f"split must be one of {', '.join(SPLITS)}, got {split[:40]!r}")
    return errors + _repeated("measures", measures)


def _errors_of_limits(limits: Mapping[str, int]) -> list[str]:
    bounds = {
        "max_rows": MAX_ROWS,
        "max_new_tokens": MAX_NEW_TOKENS,
        "resamples": MAX_RESAMPLES,
    }
    return [
        f"{name} must be at most {most}, got {limits[name]}"
        for name, most in bounds.items()
        if limits[name] > most
    ]


def _unknown_measure(name: str) -> str:
    return f"measure {name[:40]!r} is not known. Use {', '.join(MEASURES)}"


def _repeated(what: str, names: Sequence[str]) -> list[str]:
    return [f"{what} has {name[:40]!r} twice" for name in {n for n in names if names.count(n) > 1}]


def _errors_of_slices(slices: Sequence[Slice]) -> list[str]:
    errors = _repeated("slices", [each.by for each in slices])
    if len(slices) > MAX_SLICES:
        errors.append(f"at most {MAX_SLICES} slices can be asked for, got {len(slices)}")
    for each in slices:
        if not 0 < len(each.by) <= MAX_COLUMN_CHARACTERS:
            errors.append(
                f"a slice must be by {LENGTH}, {SCRIPT}, {ANSWER} or a column of at most "
                f"{MAX_COLUMN_CHARACTERS} characters"
            )
        if each.edges and each.by != LENGTH:
            errors.append(f"slice {each.by[:40]!r} has edges, which only {LENGTH} has")
        if list(each.edges) != sorted(set(each.edges)):
            errors.append(f"the edges of slice {each.by[:40]!r} must rise")
    return errors


def _errors_of_protections(
    protections: Sequence[Protected],
    slices: Sequence[Slice],
    measures: Sequence[str],
    suites: Sequence[str],
    without_mean: str,
) -> list[str]:
    errors: list[str] = []
    if len(protections) > MAX_PROTECTIONS:
        errors.append(f"at most {MAX_PROTECTIONS} protections, got {len(protections)}")
    sliced = {each.by for each in slices}
    for number, each in enumerate(protections, 1):
        if each.measure == MEAN:
            found = _errors_of_mean(each, without_mean)
        else:
            found = _errors_of_one(each, sliced, measures, suites)
        errors += [f"protection {number}: {error}" for error in found]
    return errors


def _errors_of_mean(each: Protected, without_mean: str) -> list[str]:
    is_whole = not (each.slice_by or each.slice_value or each.suite)
    whole = "" if is_whole else "the mean is over all tasks. Leave slice and suite out"
    return [error for error in (without_mean, whole) if error]


def _errors_of_bounds(protections: Sequence[Protected], compares: bool) -> list[str]:
    errors = []
    for number, each in enumerate(protections, 1):
        bounds = (each.worst, each.largest_loss)
        rules = (
            (any(bound is not None for bound in bounds), "give worst or largest_loss"),
            (
                all(bound is None or isfinite(bound) for bound in bounds),
                "worst and largest_loss must be numbers",
            ),
            (
                each.largest_loss is None or each.largest_loss >= 0,
                "largest_loss must not be below 0",
            ),
            (each.largest_loss is None or compares, "largest_loss needs compare_to"),
        )
        errors += [f"protection {number}: {error}" for holds, error in rules if not holds]
    return errors


def _errors_of_one(
    each: Protected, sliced: set[str], measures: Sequence[str], suites: Sequence[str]
) -> list[str]:
    known_suite = each.suite in suites if each.suite else len(suites) < 2
    rules = (
        (each.measure in MEASURES, _unknown_measure(each.measure)),
        (
            not measures or each.measure in measures or each.measure not in MEASURES,
            f"{each.measure[:40]} is not among the measures",
        ),
        (not each.slice_by or each.slice_by in sliced, f"no slice by {each.slice_by[:40]!r}"),
        (
            bool(each.slice_by) == bool(each.slice_value),
            "slice_by and slice_value go together",
        ),
        (known_suite, f"suite must be one of {', '.join(suites)}"),
    )
    return [error for holds, error in rules if not holds]
