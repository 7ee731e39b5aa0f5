"""The prefix cache of the openvino engine: every tenant has its own."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from inference.adapters.openvino import EXACT, PipelineOptions
from inference.children import openvino
from inference.children.openvino import OpenVinoRunner
from inference.children.openvino_cache import BLOCK_TOKENS, UPPER_HALF, scoped_prompt
from inference.domain.generation import GenerationRequest

from .test_openvino_engine import PLAIN

pytestmark = pytest.mark.heavy

LONG = tuple(5 + place * place % 300 for place in range(450))
"""Two parts of a prompt: more than one step."""

Ask = Callable[[GenerationRequest], tuple[int, list[int]]]


@pytest.fixture
def load(openvino_folder: Path) -> dict[str, Any]:
    return PipelineOptions(properties=EXACT).load_message() | {"folder": str(openvino_folder)}


def asking(runner: OpenVinoRunner) -> Ask:
    """Has a request answered; the steps until its first token, and its tokens."""
    numbers = iter(range(1, 100))

    def ask(request: GenerationRequest) -> tuple[int, list[int]]:
        runner.add(asdict(request) | {"id": next(numbers), "eos_ids": [2]})
        steps, tokens, first = 0, [], 0
        while runner.busy:
            steps += 1
            tokens += [token for news in runner.step() for token in news.tokens]
            first = first or (steps if tokens else 0)
        return first, tokens

    return ask


def test_a_prompt_is_found_again_by_its_tenant_only(load: dict[str, Any]) -> None:
    ask = asking(OpenVinoRunner(load))
    mine, theirs = (replace(PLAIN, prompt=LONG, tenant=name) for name in ("acme", "rival"))

    answers = [ask(request) for request in (mine, mine, theirs, theirs, mine)]

    assert [first for first, _ in answers] == [2, 1, 2, 1, 1]
    assert all(tokens == answers[0][1] for _, tokens in answers)


def test_blocks_that_are_filled_in_part_are_nobody_elses() -> None:
    adds = [
        asdict(replace(PLAIN, prompt=LONG[:70], tenant="acme")) | {"id": number}
        for number in (1, 2)
    ]

    first, second = map(scoped_prompt, adds)

    assert first[: 2 * BLOCK_TOKENS] == second[: 2 * BLOCK_TOKENS]
    assert first[2 * BLOCK_TOKENS] != second[2 * BLOCK_TOKENS]
    assert [token % 2**UPPER_HALF for token in first] == list(LONG[:70])
    short = [scoped_prompt(add | {"prompt": [9, 9]}) for add in adds]
    assert short[0][0] != short[1][0]


def test_a_repetition_penalty_is_the_same_in_every_scope(load: dict[str, Any]) -> None:
    ask = asking(OpenVinoRunner(load))
    penalised = replace(PLAIN, prompt=LONG, repetition_penalty=1.5)

    _, plain = ask(penalised)
    _, scoped = ask(replace(penalised, tenant="acme"))

    assert scoped == plain


def test_without_a_cache_for_each_there_is_none(
    load: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "keeps_scopes_apart", lambda _: False)
    ask = asking(OpenVinoRunner(load))
    request = replace(PLAIN, prompt=LONG)

    assert [ask(request)[0] for _ in range(2)] == [2, 2]
