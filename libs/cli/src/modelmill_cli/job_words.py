"""What a job's record and its result say, in words for a terminal."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelmill_bus.kinds import DATASET, EVALUATE, OPTIMIZE, TRAIN, dataset_id_of
from modelmill_client.errors import failure_of

from modelmill_cli.search_words import search_facts
from modelmill_cli.tables import data_size

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})

Job = Mapping[str, Any]
"""A record as the gateway shows it."""


def turn_words(job: Job, now: float | None = None) -> str:
    """Where it waits and for how long probably; empty when it does not wait.

    Args:
        now: seconds since 1970.
    """
    if job.get("waiting_reason"):
        return str(job["waiting_reason"])
    position = job.get("queue_position")
    if not position:
        return ""
    words = "next" if position == 1 else f"{position - 1} before it"
    starts_at = job.get("estimated_start")
    if starts_at is None:
        return words
    seconds = starts_at - (time.time() if now is None else now)
    if seconds < 0:  # of a record that was read before
        return words
    return f"{words}, starts in about {duration_words(seconds)}"


def duration_words(seconds: float) -> str:
    """Rounded so that it is read at a glance."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def name_of(job: Job) -> str:
    """What its maker calls what it makes; empty when that has no name."""
    return str(_spec(job).get("name") or "")


def model_of(job: Job) -> str:
    """The model that it trains, builds or measures, as it was ordered."""
    spec = _spec(job)
    named = (spec.get(field) for field in ("base_version_id", "source_version_id", "model"))
    return next((str(name) for name in named if name), "")


def dataset_of(job: Job) -> str:
    """The dataset that it reads or has made."""
    if job["kind"] == DATASET:
        return dataset_id_of(job["id"])
    return str(_spec(job).get("dataset_id") or "")


def _spec(job: Job) -> Mapping[str, Any]:
    return job.get("spec") or {}


def advice_words(job: Job) -> str:
    """What a training run says that did not learn; empty for others."""
    summary = (job.get("result") or {}).get("summary") or {}
    return str(summary.get("advice", ""))


def log_tail(job: Job) -> str:
    """The last lines of a failed job's log."""
    return str((job.get("error") or {}).get("log_tail") or "")


def facts(job: Job) -> Iterator[tuple[str, str]]:
    """Known facts of a job, by name."""
    cost = job.get("cost") or {}
    trained = cost.get("trained_tokens")
    progress = job.get("progress") or {}
    for name, value in (
        ("kind", job["kind"]),
        ("name", name_of(job)),
        ("model", model_of(job)),
        ("dataset", dataset_of(job)),
        ("status", job["status"]),
        ("desired_state", job.get("desired_state") if job.get("desired_state") != "run" else ""),
        ("asked by", job.get("requested_by")),
        ("priority", job.get("priority")),
        ("turn", turn_words(job)),
        ("phase", progress.get("phase")),
        ("done", _done_words(progress, seconds_left(job))),
        ("attempts", cost.get("attempts")),
        ("work", duration_words(cost.get("work_seconds") or 0.0)),
        ("trained on", f"{trained:,} tokens" if trained is not None else ""),
        ("spec sha256", job.get("spec_sha256")),
        ("error", failure_of(job)),
        ("advice", advice_words(job)),
    ):
        if value not in (None, ""):
            yield name, str(value)


def seconds_left(job: Job) -> float | None:
    """Of its phase, while it runs; what it said last of that is kept behind its end."""
    if job["status"] in TERMINAL:
        return None
    left: float | None = (job.get("progress") or {}).get("eta_seconds")
    return left


def _done_words(progress: Mapping[str, Any], left: float | None) -> str:
    if not progress.get("done") and not progress.get("total"):
        return ""  # of a phase in which nothing is counted
    of = f" of {progress['total']}" if progress.get("total") else ""
    words = f"{progress.get('done', 0)}{of} {progress.get('unit', '')}".strip()
    return words if left is None else f"{words}, {duration_words(left)} left"


Facts = Iterator[tuple[str, str]]
COUNTED_FIRST = ("rows_in", "rows_kept", "train", "valid", "test")
"""Of a dataset's counts; the others are of what was taken out."""


def result_facts(job: Job) -> Facts:
    """Results of an ended job, by name, and last what to do with them."""
    result = job.get("result") or {}
    if result:
        of_kind = _BY_KIND.get(job["kind"], _any)
        yield from of_kind(job, result.get("summary") or {}, str(result.get("version_id") or ""))


def _training(job: Job, summary: Mapping[str, Any], version_id: str) -> Facts:
    yield "made", " ".join(word for word in (name_of(job), version_id) if word)
    if "learned" in summary:
        yield "learned", "yes" if summary["learned"] else "no, the advice says why"
    scores = (("score of base", "accuracy_base"), ("tuned", "accuracy_tuned"))
    yield from _shares(summary, (*scores, ("teacher", "accuracy_teacher")))
    differences = summary.get("differences") or {}
    for words, name in (("gain", "tuned-base"), ("beside its teacher", "tuned-teacher")):
        if name in differences:
            yield words, _points(differences[name])
    if "recovery" in summary:
        yield "recovery", str(summary["recovery"]["verdict"])
    yield from _change(summary, "loss", "first_loss", "last_loss")
    yield from _change(summary, "valid loss", "first_valid_loss", "valid_loss")
    yield from _counts(summary, ("rows", "steps", "train_tokens"))
    if "train_seconds" in summary:
        yield "trained for", duration_words(summary["train_seconds"])
    if "stopped_by" in summary:
        yield "stopped by", str(summary["stopped_by"]).replace("_", " ")
    yield "next", f"mill chat --model {version_id}; mill models card {version_id}"


def _points(difference: Mapping[str, float]) -> str:
    low, high = 100 * difference["low"], 100 * difference["high"]
    return f"{100 * difference['mean']:+.1f} points ({low:+.1f} to {high:+.1f}, paired)"


def _dataset(job: Job, summary: Mapping[str, Any], _version_id: str) -> Facts:
    dataset_id = dataset_of(job)
    yield "made", dataset_id
    yield from _counts(summary, (*COUNTED_FIRST, *sorted(summary.keys() - {*COUNTED_FIRST})))
    yield "next", f"mill train MODEL {dataset_id}; mill data report {dataset_id}"


EXPORTED = ("gguf-", "compressed-tensors-", "tensorrt-")
"""How the names of forms begin that others run, all or most often."""


def _build(job: Job, summary: Mapping[str, Any], version_id: str) -> Facts:
    if "verdict" in summary:
        yield from search_facts(summary, version_id)
    else:
        yield "made", version_id
        yield from _one_build(job, summary, version_id)


def _one_build(job: Job, summary: Mapping[str, Any], version_id: str) -> Facts:
    spread = (("score", "accuracy"), ("lost by it", "accuracy_loss"))
    for words, name in spread:
        if name in summary:
            low, high = (summary.get(f"{name}_{end}", summary[name]) for end in ("low", "high"))
            yield words, f"{summary[name]:.1%} ({low:.1%} to {high:.1%})"
    if "bytes" in summary:
        yield "size", data_size(summary["bytes"])
    if "tokens_per_second" in summary:
        faster = f", {summary['speedup']:.2f} times its source" if "speedup" in summary else ""
        yield "speed", f"{summary['tokens_per_second']:.0f} tokens/s{faster}"
    if "prompt_lookup_speedup" in summary:
        yield "prompt lookup", _lookup_words(summary)
    if why := _why_held_back(summary):
        yield "held back", f"{why}. No name is served by it"
    yield "next", f"mill models show {version_id}; mill {_use_of(_spec(job), version_id)}"


def _lookup_words(build: Mapping[str, Any]) -> str:
    """What drafts gave on the dataset's own prompts, and whether the build drafts."""
    low, high = (build[f"prompt_lookup_speedup_{end}"] for end in ("low", "high"))
    gave = f"{build['prompt_lookup_speedup']:.2f} times as fast ({low:.2f} to {high:.2f})"
    return f"on, {gave}" if build.get("prompt_lookup_num_tokens") else f"off, would be {gave}"


def _use_of(spec: Mapping[str, Any], version_id: str) -> str:
    """The command for what was built: to train it further, to export it, or to ask it."""
    form = str(spec.get("target_form", ""))
    if form == "pruned":
        return f"train {version_id} {spec.get('dataset_id') or 'DATASET'} --method full"
    if form.startswith(EXPORTED):
        return f"models export {version_id} FOLDER"
    return f"chat --model {version_id}; mill models alias NAME {version_id}"


def _why_held_back(build: Mapping[str, Any]) -> str:
    """Why no name is served by a build whose order limits its loss; empty where one may be."""
    limit, loss = build.get("accuracy_loss_allowed"), build.get("accuracy_loss")
    if limit is None:
        return ""
    if loss is None:
        return "its loss was not measured. Order it with --dataset"
    return f"it loses more than the {limit:.1%} allowed" if loss > limit else ""


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
