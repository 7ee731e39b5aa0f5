"""The prefix cache of the openvino engine: every tenant has its own."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from modelmill_inference.adapters.openvino import EXACT, PipelineOptions
from modelmill_inference.children import openvino
from modelmill_inference.children.openvino import OpenVinoRunner
from modelmill_inference.children.openvino_cache import (
    BLOCK_TOKENS,
    MOST_UNFINISHED,
    UPPER_HALF,
    UnfinishedAnswers,
    scoped_prompt,
)
from modelmill_inference.domain.generation import GenerationRequest

from .test_openvino_engine import PLAIN

pytestmark = pytest.mark.heavy

LONG = tuple(5 + place * place % 300 for place in range(450))
"""Two parts of a prompt: more than one step."""

AdmissionRequest = Callable[[GenerationRequest], tuple[int, list[int]]]


@pytest.fixture
def load(openvino_folder: Path) -> dict[str, Any]:
    return PipelineOptions(properties=EXACT).load_message() | {"folder": str(openvino_folder)}


def asking(runner: OpenVinoRunner) -> AdmissionRequest:
    """Has a request answered; the steps until its first token, and its tokens."""
    numbers = iter(range(1, 100))

    def ask(request: GenerationRequest) -> tuple[int, list[int]]:
        runner.add(asdict(request) | {"id": next(numbers), "eos_ids": [2]})
        steps, tokens, first = 0, [], 0
        while runner.busy:
            steps += 1
            tokens += [token for updates in runner.step() for token in updates.tokens]
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


def test_who_goes_on_behind_an_answer_reads_its_last_block_alone(load: dict[str, Any]) -> None:
    ask = asking(OpenVinoRunner(load))
    held = replace(PLAIN, prompt=LONG[:40], grammar="root ::= [a-z]{2000,}\n", tenant="acme")
    whole = replace(held, max_new_tokens=420)

    _, first = ask(replace(whole, max_new_tokens=400))
    behind = replace(held, prompt=(*held.prompt, *first[:395]), max_new_tokens=25)
    steps, rest = ask(behind)
    again, _ = ask(behind)

    assert len(first) == 400
    assert (steps, again) == (1, 2)
    assert (first[:395] + rest) == ask(whole)[1]


def test_an_answer_is_gone_on_with_once_and_by_its_tenant() -> None:
    answers = UnfinishedAnswers()
    prompt, answer = list(LONG[:40]), list(LONG[40:140])
    marked = [prompt[0] | 7 << UPPER_HALF, *prompt[1:]]
    answers.keep("acme", marked, answer)

    assert answers.take("rival", [*prompt, *answer]) == []
    assert answers.take("acme", prompt) == []
    assert answers.take("acme", [*prompt, *answer[:70], 3]) == []
    found = answers.take("acme", [*prompt, *answer[:70]])
    assert found == [*marked, *answer][: 3 * BLOCK_TOKENS]
    assert answers.take("acme", [*prompt, *answer[:70]]) == []


def test_the_last_token_of_an_answer_was_not_computed() -> None:
    answers = UnfinishedAnswers()
    whole = list(LONG[: 2 * BLOCK_TOKENS])
    answers.keep("", whole[:40], whole[40:])

    assert answers.take("", whole) == whole[:BLOCK_TOKENS]


def test_old_answers_are_forgotten() -> None:
    answers = UnfinishedAnswers()
    for number in range(MOST_UNFINISHED + 1):
        answers.keep("", [number] * BLOCK_TOKENS, [1, 2])

    assert answers.take("", [0] * BLOCK_TOKENS + [1]) == []
    assert answers.take("", [1] * BLOCK_TOKENS + [1]) == [1] * BLOCK_TOKENS


def test_who_goes_on_writes_into_blocks_of_its_own() -> None:
    add = asdict(replace(PLAIN, prompt=LONG[:70])) | {"id": 9}
    computed = [token | 5 << UPPER_HALF for token in LONG[: 3 * BLOCK_TOKENS]]

    prompt = scoped_prompt(add, computed)
    short = scoped_prompt(add, computed[:BLOCK_TOKENS])

    marks = [token >> UPPER_HALF for token in prompt]
    own = marks[2 * BLOCK_TOKENS]
    assert marks == [5] * 2 * BLOCK_TOKENS + [own] + [0] * 5
    assert own not in (0, 5)
    assert short[BLOCK_TOKENS] >> UPPER_HALF == short[2 * BLOCK_TOKENS] >> UPPER_HALF == own


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
