"""The reference engine computes what transformers itself does; nothing spoils it for others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modelmill_inference.children import transformers_model
from modelmill_inference.children.sampler import Sampler
from modelmill_inference.children.transformers_model import CausalModel

from .reference_bench import (
    PLAIN,
    answers,
    check_scores_and_vectors,
    generated,
    in_transformers,
    one_thread,
    opened,
)

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.mark.parametrize("model", ["llama_folder", "deepseek_folder"])
def test_it_says_what_generate_says(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    reference, runner = in_transformers(folder), opened(folder)

    assert answers(runner, {})[1] == generated(reference, do_sample=False)
    assert answers(runner, {"repetition_penalty": 1.4})[1] == generated(
        reference, do_sample=False, repetition_penalty=1.4
    )


@pytest.mark.parametrize("model", ["llama_folder", "deepseek_folder"])
def test_prompts_in_pieces_and_models_that_keep_nothing_say_the_same(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(model)
    whole = answers(opened(folder), {})[1]

    monkeypatch.setattr(transformers_model, "PREFILL_TOKENS", 7)
    assert answers(opened(folder), {})[1] == whole

    monkeypatch.setattr(transformers_model, "DynamicCache", lambda config: None)
    assert answers(opened(folder), {})[1] == whole


def test_scores_and_vectors_are_those_of_the_whole_text(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_model, "PREFILL_TOKENS", 7)
    runner, reference = opened(llama_folder), in_transformers(llama_folder)
    check_scores_and_vectors(runner, reference)


def test_penalties_of_presence_and_frequency_are_taken_from_every_logit(llama_folder: Path) -> None:
    # All are driven under 0 from where they are: a token that was said is not said again.
    runner = opened(llama_folder)
    told = answers(runner, {"presence_penalty": 2.0, "max_new_tokens": 200})[1]
    plain = answers(runner, {"max_new_tokens": 200})[1]

    assert len(set(told)) > 1.5 * len(set(plain))


def test_what_a_token_costs_does_not_grow_with_what_was_read() -> None:
    def held(prompt_tokens: int, draws: int) -> int:
        add = PLAIN | {"prompt": [3] * prompt_tokens, "repetition_penalty": 1.2, "seed": 0}
        sampler = Sampler(add, vocabulary=64)
        for _ in range(draws):
            sampler.draw(np.ones(64, np.float32))
        return sum(it.size for it in vars(sampler).values() if isinstance(it, np.ndarray))

    assert held(1, draws=0) == held(5_000, draws=0) == held(5_000, draws=50)


def test_a_request_that_is_left_takes_no_further_step(llama_folder: Path) -> None:
    runner = opened(llama_folder)
    runner.add(PLAIN | {"id": 1, "repetition_penalty": 1.2, "max_new_tokens": 400})
    runner.step()
    runner.cancel(1)

    assert not runner.busy


def test_a_request_waits_until_there_is_room_and_one_that_never_fits_is_told(
    llama_folder: Path,
) -> None:
    alone = opened(llama_folder)
    alike = [{"id": number, "prompt": [number + 3] * 30} for number in range(4)]
    expected = {add["id"]: answers(alone, add)[add["id"]] for add in alike}
    of_one_token = 2 * 2 * 2 * 16 * 4
    runner = opened(llama_folder, cache_bytes=60 * of_one_token)

    for add in alike:
        runner.add(PLAIN | add)
    order = []
    while runner.busy:
        order += [updates.number for updates in runner.step()]
    assert order == sorted(order)

    runner.add(PLAIN | {"id": 9, "max_new_tokens": 400})
    runner.add(PLAIN | {"id": 8, "prompt": [3] * 61})
    runner.cancel(7)
    ends = []
    while runner.busy:
        ends += [(updates.number, updates.end) for updates in runner.step() if updates.end]
    assert ends == [(8, "no_room"), (9, "no_room")]
    assert answers(runner, *alike) == expected


def test_a_request_without_memory_ends_alone(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = opened(llama_folder)
    expected = answers(runner, {})[1]
    read = CausalModel.read

    def read_with_greed(model: CausalModel, tokens: list[int], *how: Any, **more: Any) -> Any:
        if tokens[0] == 99:
            torch.empty(1 << 58)
        return read(model, tokens, *how, **more)

    monkeypatch.setattr(CausalModel, "read", read_with_greed)
    runner.add(PLAIN | {"id": 2, "prompt": [99]})

    assert answers(runner, {})[1] == expected


def test_special_tokens_are_not_taken_for_their_names_in_a_grammar(llama_folder: Path) -> None:
    runner = opened(llama_folder)
    wanted = {"grammar": 'root ::= "<|im_start|>"', "temperature": 2.0}

    for seed in range(12):
        said = answers(runner, wanted | {"seed": seed})[1]
        assert [token for token in said if token < 3] == [2]


IMPOSSIBLE = ["root ::= (", "root ::= nothing", 'root ::= root "a"', 'other ::= "a"']
DEAD_END = r'root ::= "a" [^\x00-\U0010FFFF]'


def test_a_bad_grammar_harms_only_the_request_that_has_it(llama_folder: Path) -> None:
    runner = opened(llama_folder)
    expected = answers(runner, {})[1]
    runner.add(PLAIN)
    for grammar in IMPOSSIBLE:
        with pytest.raises(Exception, match=r"EBNF parser error|allows no token"):
            runner.add(PLAIN | {"id": 2, "grammar": grammar})
    runner.add(PLAIN | {"id": 3, "grammar": DEAD_END})

    told, ends = [], []
    while runner.busy:
        for updates in runner.step():
            told += updates.tokens if updates.number == 1 else []
            ends += [(updates.number, updates.end)] if updates.end else []

    assert told == expected
    assert (3, "dead_end") in ends
