"""Recipes over a real stack: what was done with the same inputs is never done again."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelmill_cli.demo import journey
from modelmill_cli.demo.report import DemoReport
from modelmill_cli.gateway import local_token
from modelmill_cli.job_watch import watch_job
from modelmill_cli.recipe_tokens import BaseTokenCounter
from modelmill_client import Modelmill
from modelmill_recipes.errors import GateNotMetError
from modelmill_recipes.plan_recipe import RecipePlan, plan_recipe
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.run_recipe import RecipeResult, RecipeRun
from modelmill_recipes.run_record import RunRecord
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console

from tests.bad_input.mill import mill
from tests.e2e.conftest import Loop, write_rows

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    pytest.mark.tier("journeys"),
]

RECIPE = """name: {name}
base: {base}
data:
  files: [rows.jsonl, "more/*.jsonl"]
  mapping:
    system_template: Name the kind of thing.
    user_template: "{{word}}: {{gloss}}"
    answer_template: "{{label}}"
training:
  hyperparameters: {{learning_rate: 0.01, epochs: 3, batch_size: 8, lora_rank: 4}}
require_learned: false
"""


class Steps:
    """What a run says of its steps."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def kept(self, step: str, words: str) -> None:
        self.said[step] = "kept"

    def done(self, step: str, words: str) -> None:
        self.said[step] = "done"

    def left(self, step: str, words: str) -> None:
        self.said[step] = f"left: {words}"


class Bench:
    """A recipe in a folder, that is run again and again."""

    def __init__(self, loop: Loop, folder: Path, name: str) -> None:
        self.file = folder / "recipe.yaml"
        self.text = RECIPE.format(name=name, base=loop.base_version_id)
        self.record = RunRecord.of(folder / "record", name)
        write_rows(folder / "rows.jsonl", 60)
        (folder / "more").mkdir()
        write_rows(folder / "more" / "rows.jsonl", 5)
        self._loop = loop

    async def run(
        self, *, move_alias: bool = False, client: Modelmill | None = None
    ) -> tuple[RecipeResult, dict[str, str], int]:
        """What was made, what was said of the steps, and how many jobs there are more."""
        self.file.write_text(self.text)
        client, steps = client or self._loop.client, Steps()
        run = RecipeRun(
            Recipe.load(self.file),
            client,
            lambda job_id, title: watch_job(self._loop.client, job_id, title, Console(quiet=True)),
            _no_import,
            self.record,
            steps,
            open_judge=_no_import,
        )
        before = await self._jobs()
        made = await asyncio.to_thread(run, move_alias=move_alias)
        return made, steps.said, await self._jobs() - before

    async def plan(self) -> dict[str, bool]:
        """Steps that a run would keep, and those that it would do."""
        return {each.step: each.is_kept for each in (await self.planned()).steps}

    async def planned(self) -> RecipePlan:
        """The plan, with estimates."""
        self.file.write_text(self.text)
        recipe = Recipe.load(self.file)
        count = BaseTokenCounter(self._loop.state, recipe, self._loop.client)
        return await asyncio.to_thread(plan_recipe, recipe, self._loop.client, count)

    async def jobs_named(self, name: str) -> int:
        """Jobs of all kinds whose spec has this name."""
        jobs: list[Any] = await asyncio.to_thread(lambda: [*self._loop.client.jobs.list()])
        return len([job for job in jobs if job["spec"].get("name") == name])

    async def _jobs(self) -> int:
        jobs: list[Any] = await asyncio.to_thread(lambda: [*self._loop.client.jobs.list()])
        return len(jobs)


def _no_import(path: Path) -> Any:
    raise AssertionError(path)


async def test_a_recipe_serves_a_model_and_a_second_run_orders_nothing(
    loop: Loop, tmp_path: Path
) -> None:
    bench = Bench(loop, tmp_path, "once")
    plan = await bench.planned()
    assert not any(each.is_kept for each in plan.steps)
    first, _, jobs = await bench.run()
    check_estimates(plan, first)
    assert jobs == 3  # dataset, training and the build that follows by itself
    assert first.aliases["once"] == first.served_version_id != ""

    assert await answer_of(loop, first.version_id) == await answer_without_us(
        loop, first.version_id, tmp_path / "exported"
    )

    assert all((await bench.plan()).values())
    again, said, jobs = await bench.run()
    assert jobs == 0
    assert set(said.values()) == {"kept"}
    assert again.jobs == []
    assert (again.dataset_id, again.version_id) == (first.dataset_id, first.version_id)


def check_estimates(plan: RecipePlan, made: RecipeResult) -> None:
    """Rows and tokens within a tenth, memory within a factor of two. Time is no figure of tests."""
    assert plan.notes == []
    estimates = {each.step: each.estimate for each in plan.steps}
    dataset, training = estimates["dataset"], estimates["training"]
    assert dataset is not None
    assert training is not None
    assert dataset.rows == made.dataset["rows_in"]
    assert training.rows == pytest.approx(made.training["rows"], rel=0.1)
    assert training.tokens == pytest.approx(made.training["train_tokens"], rel=0.1)
    assert training.memory_bytes is not None
    assert 0.5 <= training.memory_bytes / made.training["peak_memory_bytes"] <= 2
    assert training.seconds is not None


ELSEWHERE = """import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base = AutoModelForCausalLM.from_pretrained("base")
model = PeftModel.from_pretrained(base, ".").eval()
tokenizer = AutoTokenizer.from_pretrained(".")
asked = [{"role": "user", "content": "thing 1: something that grows"}]
ids = tokenizer.apply_chat_template(
    asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**ids, max_new_tokens=8, do_sample=False)
assert not any(name.startswith("modelmill") for name in sys.modules)
text = tokenizer.decode(made[0][ids["input_ids"].shape[1]:], skip_special_tokens=True)
sys.stdout.buffer.write(text.encode())
"""


async def answer_of(loop: Loop, version_id: str) -> str:
    """As it is served."""
    answer = await loop.openai.chat.completions.create(
        model=version_id,
        messages=[{"role": "user", "content": "thing 1: something that grows"}],
        max_tokens=8,
        temperature=0,
    )
    return (answer.choices[0].message.content or "").strip()


async def answer_without_us(loop: Loop, version_id: str, folder: Path) -> str:
    """Of an exported folder, by transformers and PEFT in a process that loads nothing of ours."""
    done = await asyncio.to_thread(
        mill, loop.state.path, "models", "export", version_id, str(folder)
    )
    assert done.status == 0, done.err
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ELSEWHERE), cwd=folder, stdout=PIPE, env={"PATH": ""}
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().strip()


class InterruptedRunError(Exception):
    """Stands for Ctrl-C, which a thread cannot be sent."""


class Interrupting(httpx.HTTPTransport):
    """Connections to the gateway, of which the answer to one call is never heard."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.calls_left = call

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.calls_left -= 1
        if self.calls_left == 0:
            response.close()
            raise InterruptedRunError
        return response


async def test_a_run_that_ends_behind_any_of_its_calls_goes_on_from_there(
    loop: Loop, tmp_path: Path
) -> None:
    bench = Bench(loop, tmp_path, "interrupted")
    for call in range(1, 100):
        token = partial(local_token, loop.state)
        with (
            suppress(InterruptedRunError),
            Modelmill(loop.client.url, token, transport=Interrupting(call)) as client,
        ):
            made, _, more = await bench.run(client=client)
            break
    assert call > 6
    # One dataset and one training, however often it ended.
    assert await bench.jobs_named("interrupted") == 2
    assert more == 0
    assert made.aliases["interrupted"] == made.served_version_id


async def test_the_demo_runs_its_recipe_asks_its_model_and_keeps_all_at_a_second_run(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(loop, tmp_path, "once")  # What another test made is not made again.
    bench.file.write_text(bench.text)
    monkeypatch.setattr(journey, "bring_base", lambda _: loop.base_version_id)
    demo = journey.Journey(loop.state, Recipe.load(bench.file), Console(quiet=True))

    first = await asyncio.to_thread(demo, loop.client)
    assert first.asked.answered_by == first.ended.made.served_version_id
    assert "content policy" in first.asked.refusal
    assert first.losses
    assert first.ended.made.build["bytes"] > 0

    again = await asyncio.to_thread(demo, loop.client)
    assert again.ended.made.jobs == []
    assert again.ended.made.build == first.ended.made.build
    DemoReport(again, loop.state.spans, 0, 1.0).show(Console(quiet=True))


async def test_a_change_runs_what_depends_on_it_alone(loop: Loop, tmp_path: Path) -> None:
    bench = Bench(loop, tmp_path, "once")  # What another test made is not made again.
    first, _, _ = await bench.run()

    bench.text += "alias: another\n"
    made, _, jobs = await bench.run()
    assert jobs == 0
    assert made.aliases == {"another": first.served_version_id}

    bench.text = bench.text.replace("learning_rate: 0.01", "learning_rate: 0.02")
    done = [step for step, is_kept in (await bench.plan()).items() if not is_kept]
    assert done == ["training", "build", "alias another"]
    shown = await asyncio.to_thread(
        mill, loop.state.path, "run", str(bench.file), "--plan", "--hourly-rate", "2"
    )
    (training,) = [line for line in shown.out.splitlines() if line.split()[:1] == ["training"]]
    assert re.search(r"\d (s|min) +[\d.]+ +\d earlier", training)
    made, said, jobs = await bench.run()
    assert jobs == 2
    assert said["dataset"] == "kept"
    assert made.version_id != first.version_id

    write_rows(tmp_path / "rows.jsonl", 61)
    assert not any((await bench.plan()).values())


async def test_an_alias_that_was_moved_by_hand_is_left_alone_until_it_is_said(
    loop: Loop, tmp_path: Path
) -> None:
    bench = Bench(loop, tmp_path, "once")
    bench.text += "alias: moved\n"
    first, _, _ = await bench.run()
    to = loop.base_version_id
    by_hand = await asyncio.to_thread(loop.client.aliases.set, "moved", version_id=to)

    made, said, _ = await bench.run()
    assert said["alias moved"].startswith(f"left: stands at {by_hand['version_id']}")
    assert made.aliases["moved"] == by_hand["version_id"]

    made, said, _ = await bench.run(move_alias=True)
    assert made.aliases["moved"] == first.served_version_id


async def test_a_protection_that_is_not_met_keeps_the_alias_where_it_is_and_all_that_was_made(
    loop: Loop, tmp_path: Path
) -> None:
    bench = Bench(loop, tmp_path, "once")
    bench.text += "alias: gated\nevaluation:\n  suite: wordnet\n  max_rows: 4\n"
    bench.text += "  protections: [{measure: accuracy, worst: 1.1, suite: wordnet_word}]\n"
    with pytest.raises(GateNotMetError, match="accuracy"):
        await bench.run()
    aliases = await asyncio.to_thread(loop.client.aliases.list)
    assert "gated" not in [alias["name"] for alias in aliases]

    bench.text = bench.text.replace("worst: 1.1", "worst: 0.0")
    made, _, jobs = await bench.run()
    assert jobs == 1  # the evaluation alone
    assert made.evaluation["suite"]["mean"]["model"]["rows"] == 8
    assert made.aliases["gated"] == made.served_version_id


async def test_a_model_that_did_not_learn_is_served_only_where_the_recipe_says_so(
    loop: Loop, tmp_path: Path
) -> None:
    bench = Bench(loop, tmp_path, "once")
    bench.text = bench.text.replace("training:", "alias: unlearned\ntraining:")
    never = "{learning_rate: 1e-9, max_steps: 1, batch_size: 8, lora_rank: 4}"
    served = bench.text = bench.text[: bench.text.index("{learning_rate")] + f"{never}\n"
    with pytest.raises(GateNotMetError, match="did not learn"):
        await bench.run()
    bench.text = f"{served}require_learned: false\n"
    made, _, jobs = await bench.run()
    assert jobs == 0
    assert made.aliases["unlearned"] == made.served_version_id


async def test_a_refusal_of_the_api_names_the_line_of_the_recipe(
    loop: Loop, tmp_path: Path
) -> None:
    bench = Bench(loop, tmp_path, "refused")
    bench.text = bench.text.replace("lora_rank: 4", "lora_rank: 4000000")
    with pytest.raises(InvalidInputError, match=r"recipe.yaml:10: .*lora_rank"):
        await bench.run()
    bench.text = bench.text.replace("lora_rank: 4000000", "lora_rank: 4")
    bench.text = bench.text.replace(loop.base_version_id, "no-such-base")
    with pytest.raises(InvalidInputError, match=r"recipe.yaml:2: .*no-such-base"):
        await bench.run()
