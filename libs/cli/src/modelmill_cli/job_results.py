"""What a job has made, in words for a terminal: its figures, and what to do with it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelmill_bus.kinds import DATASET, EVALUATE, OPTIMIZE, TRAIN

from modelmill_cli.job_words import Job, dataset_of, duration_words, name_of
from modelmill_cli.tables import megabytes

Facts = Iterator[tuple[str, str]]
COUNTED_FIRST = ("rows_in", "rows_kept", "train", "valid", "test")
"""Of a dataset's counts; the others are of what was taken out."""


def result_facts(job: Job) -> Facts:
    """What came of a job, by name, and last what to do with it; nothing before it has ended."""
    result = job.get("result") or {}
    if result:
        of_kind = _BY_KIND.get(job["kind"], _any)
        yield from of_kind(job, result.get("summary") or {}, str(result.get("version_id") or ""))


def _training(job: Job, summary: Mapping[str, Any], version_id: str) -> Facts:
    yield "made", " ".join(word for word in (name_of(job), version_id) if word)
    if "learned" in summary:
        yield "learned", "yes" if summary["learned"] else "no, the advice says why"
    yield from _shares(summary, (("score of base", "accuracy_base"), ("tuned", "accuracy_tuned")))
    if gain := (summary.get("differences") or {}).get("tuned-base"):
        low, high = 100 * gain["low"], 100 * gain["high"]
        yield "gain", f"{100 * gain['mean']:+.1f} points ({low:+.1f} to {high:+.1f}, paired)"
    yield from _change(summary, "loss", "first_loss", "last_loss")
    yield from _change(summary, "valid loss", "first_valid_loss", "valid_loss")
    yield from _counts(summary, ("rows", "steps", "train_tokens"))
    if "train_seconds" in summary:
        yield "trained for", duration_words(summary["train_seconds"])
    if "stopped_by" in summary:
        yield "stopped by", str(summary["stopped_by"]).replace("_", " ")
    yield "next", f"mill chat --model {version_id}; mill models card {version_id}"


def _dataset(job: Job, summary: Mapping[str, Any], _version_id: str) -> Facts:
    dataset_id = dataset_of(job)
    yield "made", dataset_id
    yield from _counts(summary, (*COUNTED_FIRST, *sorted(summary.keys() - {*COUNTED_FIRST})))
    yield "next", f"POST /v1/fine_tuning/jobs with it; mill data report {dataset_id}"


def _build(job: Job, summary: Mapping[str, Any], version_id: str) -> Facts:
    yield "made", version_id
    spread = (("score", "accuracy"), ("lost by it", "accuracy_loss"))
    for words, name in spread:
        if name in summary:
            low, high = (summary.get(f"{name}_{end}", summary[name]) for end in ("low", "high"))
            yield words, f"{summary[name]:.1%} ({low:.1%} to {high:.1%})"
    if "bytes" in summary:
        yield "size", megabytes(summary["bytes"])
    if "tokens_per_second" in summary:
        faster = f", {summary['speedup']:.2f} times its source" if "speedup" in summary else ""
        yield "speed", f"{summary['tokens_per_second']:.0f} tokens/s{faster}"
    yield "next", f"mill models show {version_id}"


def _evaluation(job: Job, summary: Mapping[str, Any], _version_id: str) -> Facts:
    if "passed" in summary:
        yield "protections", "hold" if summary["passed"] else "do not hold"
    yield "next", f"mill eval show {job['id']}; mill eval report {job['id']}"


def _any(_job: Job, summary: Mapping[str, Any], version_id: str) -> Facts:
    if version_id:
        yield "made", version_id
    for name, value in summary.items():
        if isinstance(value, int | float):
            yield name.replace("_", " "), f"{value:,.6g}"
        elif isinstance(value, str):
            yield name.replace("_", " "), value


_BY_KIND: Mapping[str, Callable[[Job, Mapping[str, Any], str], Facts]] = {
    TRAIN: _training,
    DATASET: _dataset,
    OPTIMIZE: _build,
    EVALUATE: _evaluation,
}


def _shares(summary: Mapping[str, Any], names: tuple[tuple[str, str], ...]) -> Facts:
    for words, name in names:
        if name in summary:
            it = summary[name]
            yield words, f"{it['mean']:.1%} right ({it['low']:.1%} to {it['high']:.1%})"


def _change(summary: Mapping[str, Any], words: str, first: str, last: str) -> Facts:
    known = [f"{summary[name]:.3f}" for name in (first, last) if summary.get(name) is not None]
    if known:
        yield words, " -> ".join(known)


def _counts(summary: Mapping[str, Any], names: tuple[str, ...]) -> Facts:
    for name in names:
        value = summary.get(name)
        if isinstance(value, int | float):
            yield name.replace("_", " "), f"{value:,.6g}" if value % 1 else f"{int(value):,}"
