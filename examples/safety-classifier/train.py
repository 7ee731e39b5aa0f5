"""Train the judge's model on a running Modelmill: file, dataset, LoRA, int8 build, the alias.

    PYTHONPATH=. python deploy/safety/train.py --keep FOLDER [--state .modelmill] [--recipe FILE]

Each step is a call of the public API, ordered once: the same command goes on where it was cut off.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from measure import read_judge
from modelmill_cli.demo.base import bring_base
from modelmill_cli.errors import WorkFailedError
from modelmill_cli.gateway import connect
from modelmill_cli.job_watch import watch_job
from modelmill_cli.job_words import Job
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill
from rich.console import Console

from tests.bench.methods.jobs import Jobs
from tests.bench.methods.recipe import Recipe, read_recipe
from tests.bench.methods.steps import Steps

HERE = Path(__file__).parent
BUILD_WAIT_SECONDS = 60.0
POLL_SECONDS = 0.5


def train(recipe: Recipe, steps: Steps) -> dict[str, Any]:
    """The recipe's one arm: `version_id` of the adapter, and the `summary` of its job."""
    task = recipe.tasks[0]
    arm = task.arms[0]
    dataset = steps.dataset(task, steps.upload(task), pairs=False)
    made = steps.train(
        task, arm, arm.seeds[0], start=steps.base(), dataset_id=dataset["dataset_id"]
    )
    return made | {"dataset": dataset["summary"]}


def build_of(client: Modelmill, jobs: Jobs, adapter: str) -> dict[str, Any]:
    """The int8 build that the optimizer-builder orders by itself: `version_id` and `summary`.

    Raises:
        WorkFailedError: none was ordered.
    """
    deadline = time.monotonic() + BUILD_WAIT_SECONDS
    while time.monotonic() < deadline:
        for job in client.jobs.list(kind="optimize"):
            if job["spec"].get("source_version_id") == adapter:
                result: dict[str, Any] = jobs.ended(job["id"], "int8 build")["result"]
                return result
        time.sleep(POLL_SECONDS)
    raise WorkFailedError(f"no build of {adapter} was ordered")


def main(arguments: list[str]) -> int:
    """Train, build and name; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", type=Path, required=True, help="folder for what is done")
    parser.add_argument("--state", type=Path, default=Path(".modelmill"), help="of `mill up`")
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.yaml", help="YAML")
    chosen = parser.parse_args(arguments)
    recipe, state = read_recipe(chosen.recipe), StateFolder(chosen.state)
    console = Console(highlight=False)
    if recipe.wants_demo_base:
        bring_base(state)
    with connect(state) as client:

        def watch(job_id: str, title: str) -> Job:
            return watch_job(client, job_id, title, console)

        jobs = Jobs(client, watch)
        steps = Steps(recipe, client, jobs, data=HERE / "data", keep=chosen.keep)
        made = train(recipe, steps)
        build = build_of(client, jobs, made["version_id"])
        alias = read_judge(HERE / "policy.yaml").classifier
        client.aliases.set(alias, version_id=build["version_id"])
    figures = {"training": made["summary"], "dataset": made["dataset"], "build": build["summary"]}
    (chosen.keep / "train.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    console.print(f"{alias} is {build['version_id']}; figures are in {chosen.keep / 'train.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
