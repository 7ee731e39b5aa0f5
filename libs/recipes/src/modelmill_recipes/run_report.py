"""The report of a run: one page with scores, losses, the recipe and what is served, by itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template
from modelmill_client import Modelmill

from modelmill_recipes.api import Record
from modelmill_recipes.local_rows import LocalRows, UnreadHereError
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.row_conversation import RowConversation, row_conversation
from modelmill_recipes.run_recipe import RecipeResult, ToldStep

WIDTH, HEIGHT, MARGIN = 640, 200, 28
MOST_POINTS = 600
ANSWER_TOKENS = 256


@dataclass(frozen=True)
class Score:
    """A figure with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float

    def shown(self, figure: str) -> str:
        """One of its numbers for people: shares as per cent."""
        number = float(getattr(self, figure))
        is_share = -1 <= self.low <= self.high <= 1
        return f"{number:.1%}" if is_share else f"{number:.4g}"


@dataclass(frozen=True)
class DrawnLosses:
    """Losses by step, as points of a drawing."""

    points: str
    lowest: float
    highest: float
    last_step: int


@dataclass(frozen=True)
class ServedRequest:
    """How the model is asked, to copy."""

    curl: str
    python: str


def run_report(recipe: Recipe, made: RecipeResult, client: Modelmill, url: str) -> bytes:
    """The page.

    Args:
        made: A run, also one that ended at a gate.
        url: Of the gateway, for the request.
    """
    page = _template().render(
        recipe=recipe,
        made=made,
        text=recipe.source.text,
        scores=list(scores_of(made)),
        curve=loss_curve(client, made.steps.get("training", ToldStep()).job_id),
        counts=_counts(made),
        protections=made.protections,
        judged=made.judged,
        versions=[*_versions(made, client), *_jobs(made)],
        request=request_of(recipe, url),
        release=version("modelmill-recipes"),
        size=(WIDTH, HEIGHT, MARGIN),
    )
    return page.encode()


def run_document(recipe: Recipe, made: RecipeResult, client: Modelmill, url: str) -> dict[str, Any]:
    """The same for programs.

    Args:
        made: A run, also one that ended at a gate.
        url: Of the gateway, for the request.
    """
    columns = ("sort", "id", "digest")
    return {
        "name": recipe.name,
        "steps": [{"step": step, **asdict(told)} for step, told in made.steps.items()],
        "jobs": made.jobs,
        "version_id": made.version_id,
        "served_version_id": made.served_version_id,
        "digests": [dict(zip(columns, each, strict=True)) for each in _versions(made, client)],
        "dataset": made.dataset,
        "training": made.training,
        "build": made.build,
        "scores": [asdict(score) for score in scores_of(made)],
        "protections": made.protections,
        "judged": made.judged or None,
        "aliases": made.aliases,
        "request": asdict(request_of(recipe, url)),
    }


def scores_of(made: RecipeResult) -> Iterator[Score]:
    """Of the training's own test, and of the evaluation."""
    named = (("base", "accuracy_base"), ("trained", "accuracy_tuned"))
    for name, field in named:
        if found := made.training.get(field):
            yield Score(f"right, {name}", found["mean"], found["low"], found["high"])
    if gain := (made.training.get("differences") or {}).get("tuned-base"):
        yield Score("gain, paired", gain["mean"], gain["low"], gain["high"])
    yield from evaluation_scores(made)


def evaluation_scores(made: RecipeResult) -> Iterator[Score]:
    """Of the evaluation and its judge alone."""
    for suite, results in (made.evaluation.get("suites") or {}).items():
        for measure in results.get("shown") or results["measures"]:
            if found := results["measures"][measure].get("model"):
                yield Score(f"{suite}: {measure}", found["value"], found["low"], found["high"])
    if made.judged:
        found = made.judged["mean"]["model"]
        yield Score(f"judge {made.judged['judge']}", found["value"], found["low"], found["high"])


def losses_of(client: Modelmill, job_id: str) -> dict[int, float]:
    """Losses of a training by its steps."""
    by_step: dict[int, float] = {}
    for event in client.jobs.events(job_id) if job_id else ():
        facts: Record = event.get("data") or {}
        if facts.get("phase") == "train" and "loss" in facts:
            by_step[int(facts["step"])] = float(facts["loss"])
    return by_step


def loss_curve(client: Modelmill, job_id: str) -> DrawnLosses | None:
    """Of a training; None where fewer than two steps are told of."""
    by_step = losses_of(client, job_id)
    if len(by_step) < 2:
        return None
    steps = sorted(by_step)
    steps = steps[:: -(-len(steps) // MOST_POINTS)]
    lowest, highest = min(by_step.values()), max(by_step.values())
    span, last = (highest - lowest) or 1.0, steps[-1]
    points = (
        f"{MARGIN + (WIDTH - 2 * MARGIN) * step / last:.1f},"
        f"{HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (by_step[step] - lowest) / span:.1f}"
        for step in steps
    )
    return DrawnLosses(" ".join(points), lowest, highest, last)


def request_of(recipe: Recipe, url: str) -> ServedRequest:
    """A request with the first row that can be read here."""
    row = next(_conversations(recipe), None)
    asked = [*row.messages[:-1]] if row else []
    asked = asked or [{"role": "user", "content": "..."}]
    body = {"model": recipe.alias, "messages": asked, "max_tokens": ANSWER_TOKENS}
    written = json.dumps(body, ensure_ascii=False, indent=1)
    quoted = written.replace("'", "'\\''")
    curl = (
        f"curl {url}/v1/chat/completions \\\n"
        '  -H "authorization: Bearer $MODELMILL_TOKEN" -H "content-type: application/json" \\\n'
        f"  -d '{quoted}'"
    )
    python = (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{url}/v1", api_key=os.environ["MODELMILL_TOKEN"])\n'
        "answer = client.chat.completions.create(\n"
        f"    model={recipe.alias!r},\n    messages={asked!r},\n"
        f"    max_tokens={ANSWER_TOKENS},\n)\n"
        "print(answer.choices[0].message.content)"
    )
    return ServedRequest(curl, python)


def _conversations(recipe: Recipe) -> Iterator[RowConversation]:
    for file in recipe.files:
        try:
            for row in LocalRows(file, recipe.dataset.get("reading")):
                if said := row_conversation(row, recipe.dataset["mapping"]):
                    yield said
        except UnreadHereError:
            continue


def _counts(made: RecipeResult) -> Sequence[tuple[str, str]]:
    named: Mapping[str, Any] = {
        "rows": made.dataset.get("rows_in"),
        "kept": made.dataset.get("rows_kept"),
        "trained on": made.dataset.get("train"),
        "test rows": made.dataset.get("test"),
        "tokens": made.training.get("train_tokens"),
        "steps": made.training.get("steps"),
        "seconds of training": made.training.get("train_seconds"),
    }
    return [(name, f"{value:,.0f}") for name, value in named.items() if value is not None]


def _jobs(made: RecipeResult) -> Iterator[tuple[str, str, str]]:
    yield from (("job", told.job_id, step) for step, told in made.steps.items() if told.job_id)


def _versions(made: RecipeResult, client: Modelmill) -> Iterator[tuple[str, str, str]]:
    """What was read and made: sort, id and digest."""
    for file_id in made.file_ids:
        file = client.files.retrieve(file_id)
        yield f"file {file['filename']}", file_id, f"sha256:{file['sha256']}"
    if made.dataset_id:
        yield "dataset", made.dataset_id, client.datasets.retrieve(made.dataset_id)["digest"] or ""
    ids = {"base": made.base_version_id, "trained": made.version_id}
    for sort, version_id in {**ids, "served": made.served_version_id}.items():
        if version_id:
            model: Record = client.models.retrieve(version_id)
            yield sort, version_id, model["digest"]


@cache
def _template() -> Template:
    source = files("modelmill_recipes").joinpath("run_report.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
