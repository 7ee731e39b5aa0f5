"""Each example, in its reduced form and on one real stack, ends with a model that answers.

Then the commands of its README are typed: what they run is done, so they show that it is kept.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally
from modelmill_cli.recipe_call import EndedRun, RecipeCall
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill
from modelmill_recipes.recipe import Recipe
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port
from rich.console import Console

from tests.docs.blocks import RUN, blocks_of
from tests.docs.running import Reader
from tests.examples.example import Example, all_examples, with_teachers
from tests.examples.reduced import write_reduced

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1500),
    pytest.mark.tier("journeys"),
]

BASE = "tiny"
LONGEST_ROW_TOKENS = 2048


@dataclass(frozen=True)
class Bench:
    """A running stack with a tiny base model, on which all examples run."""

    state: StateFolder
    client: Modelmill
    folder: Path

    async def run(self, example: Example, others: Mapping[str, asyncio.Task[EndedRun]]) -> EndedRun:
        """Run the reduced form, as `mill run` does, once its teacher is there."""
        teachers = with_teachers([example])[:-1]
        await asyncio.gather(*(others[each.name] for each in teachers))
        file = write_reduced(example, self.folder / example.name, BASE)
        call = RecipeCall(self.state, Recipe.load(file), Console(quiet=True))
        return await asyncio.to_thread(call, self.client)

    async def answer(self, model: str) -> Any:
        """What it answers to a word."""
        asked = {"messages": [{"role": "user", "content": "espresso"}], "max_tokens": 4}
        path, body = "/v1/chat/completions", {"model": model, **asked}
        return await asyncio.to_thread(self.client.request, "POST", path, json=body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One for all examples: the teacher of one is made by another."""
    folder = tmp_path_factory.mktemp("clone")
    state = StateFolder(folder / ".modelmill")
    base = make_tiny_llama(folder / "base", context_tokens=LONGEST_ROW_TOKENS)
    options = StackOptions(http_port=free_port())
    async with running_stack(state, options, lambda *_: None) as up:
        await bring_in(state, base, name=BASE, tenant=DEFAULT_TENANT)
        with connect_locally(state, up.runtime.http_url) as client:
            yield Bench(state, client, folder / "examples")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs(bench: Bench) -> AsyncIterator[Mapping[str, asyncio.Task[EndedRun]]]:
    """All examples at the same time: while one is trained, another is built or evaluated."""
    tasks: dict[str, asyncio.Task[EndedRun]] = {}
    for example in all_examples():
        tasks[example.name] = asyncio.create_task(bench.run(example, tasks))
    yield tasks
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("example", all_examples(), ids=lambda it: it.name)
async def test_an_example_ends_with_a_measured_model_that_answers(
    bench: Bench, runs: Mapping[str, asyncio.Task[EndedRun]], example: Example
) -> None:
    ended = await runs[example.name]
    assert ended.gate == ""
    served = ended.made.served_version_id
    assert ended.made.aliases[example.recipe.alias] == served != ""

    measured = ended.made.evaluation["suites"]["dataset"]["measures"]
    assert set(measured) == set(example.measures)
    assert all({"model", "compare_to", "comparison"} <= each.keys() for each in measured.values())

    answer = await bench.answer(example.recipe.alias)
    assert answer["system_fingerprint"] == served
    assert answer["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("example", all_examples(), ids=lambda it: it.name)
async def test_the_commands_of_its_readme_run(
    bench: Bench, runs: Mapping[str, asyncio.Task[EndedRun]], example: Example
) -> None:
    await runs[example.name]
    blocks = blocks_of(example.folder / "README.md")
    runnable = [block for block in blocks if block.language in RUN and not block.reason]
    assert any(f"mill run examples/{example.name}/" in block.code for block in runnable)
    reader = Reader(bench.folder.parent, bench.client.url)
    await asyncio.to_thread(reader.run, runnable)
