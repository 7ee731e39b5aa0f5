"""Estimates of `mill run --plan` beside what the jobs then took."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_cli.demo.base import BASE_NAME

from tests.bench.figures import Entry
from tests.bench.frontdoor_journey import OWN_RECIPE, ROWS, Journey, setup, tickets, write_tickets

MOST_OFF = {"tokens": 1.1, "seconds": 2.0, "memory_bytes": 2.0}
"""How many times too much or too little an estimate may be."""
WHEN = ("fresh", "earlier")
"""On an installation that has done nothing, and on one that has earlier jobs of the sort."""
ESPRESSO = '{"word": "espresso", "gloss": "strong black coffee", "label": "food"}\n'
NOUNS = Path("examples/wordnet-kinds/wordnet_nouns.jsonl")
RECIPES = {
    OWN_RECIPE: ("tickets.csv", "Mr. Brown needs an invoice at noon.,billing\n"),
    "deploy/demo/recipe.yaml": (str(NOUNS), ESPRESSO),
    "examples/wordnet-kinds/recipe.yaml": (str(NOUNS), ESPRESSO.replace("strong", "hot")),
}
"""Recipes whose estimates are compared; their rows, and one row more."""
EXAMPLES = [
    NOUNS,
    Path("deploy/demo/recipe.yaml"),
    Path("examples/wordnet-kinds/recipe.yaml"),
]


@dataclass(frozen=True)
class ComparedFigure:
    """One figure of one job."""

    step: str
    name: str
    estimated: float
    taken: float

    @property
    def off(self) -> float:
        """How many times too much or too little."""
        return max(self.estimated / self.taken, self.taken / self.estimated)


def compared(
    recipe: str, plan: Mapping[str, Any], jobs: Mapping[str, Mapping[str, Any]]
) -> list[ComparedFigure]:
    """All figures that the jobs of a run tell of.

    Args:
        recipe: Its name.
        plan: What `mill run --plan --json` printed.
        jobs: Records of the run's jobs by step, as `mill jobs show --json` prints them.

    Raises:
        ValueError: The plan had no estimate of one.
    """
    estimates = {step["step"]: step["estimate"] or {} for step in plan["steps"]}
    found = []
    for step, job in jobs.items():
        for name, taken in _taken(job).items():
            estimated = estimates.get(step, {}).get(name)
            if not estimated:
                raise ValueError(f"{recipe}: the plan has no {name} of {step}")
            found.append(ComparedFigure(f"{recipe} {step}", name, estimated, taken))
    return found


def _taken(job: Mapping[str, Any]) -> dict[str, float]:
    """Memory and tokens are told of by trainings alone."""
    summary = job["result"]["summary"]
    figures = {
        "tokens": summary.get("train_tokens"),
        "seconds": job["cost"]["work_seconds"],
        "memory_bytes": summary.get("peak_memory_bytes"),
    }
    return {name: value for name, value in figures.items() if value}


def estimate_entries(when: str, figures: Sequence[ComparedFigure]) -> list[Entry]:
    """An entry for each sort of figure: its worst estimate."""
    return [
        _entry(when, name, most, [each for each in figures if each.name == name])
        for name, most in MOST_OFF.items()
    ]


def _entry(when: str, name: str, most: float, figures: Sequence[ComparedFigure]) -> Entry:
    worst = max(each.off for each in figures)
    told = "; ".join(f"{each.step} {each.estimated:.4g} for {each.taken:.4g}" for each in figures)
    return Entry(
        f"frontdoor.estimate.{when}.{name.removesuffix('_bytes')}",
        worst,
        "times",
        "what the job took",
        worst,
        f"<= {most:g} times",
        worst <= most,
        (worst, worst),
        f"the worst of: {told}; one run of each, so its interval is a point",
    )


def estimates(folder: Path, base: Path, python: str) -> list[Entry]:
    """Plans of all recipes beside their runs, each on an installation of its own."""
    write_tickets(folder, tickets()[:ROWS])
    for source in EXAMPLES:
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    figures: dict[str, list[ComparedFigure]] = {when: [] for when in WHEN}
    for command in setup(base, python):
        Journey(folder).run(command)
    for recipe, (rows, more) in RECIPES.items():
        journey = Journey(folder, state=f"state-{recipe.replace('/', '-')}")
        with journey.stack():
            if recipe != OWN_RECIPE:
                journey.run(f"mill models import {base} --name {BASE_NAME}")
            for when in WHEN:
                figures[when] += _planned_and_run(journey, recipe)
                with (folder / rows).open("a", encoding="utf-8") as file:
                    file.write(more)
    return [entry for when in WHEN for entry in estimate_entries(when, figures[when])]


def _planned_and_run(journey: Journey, recipe: str) -> list[ComparedFigure]:
    plan = json.loads(journey.run(f"mill run {recipe} --plan --json"))
    made = json.loads(journey.run(f"mill run {recipe} --json"))
    jobs = {
        step["step"]: json.loads(journey.run(f"mill jobs show {step['job_id']} --json"))
        for step in made["steps"]
        if step["job_id"]
    }
    return compared(recipe, plan, jobs)
