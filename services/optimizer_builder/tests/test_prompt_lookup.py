"""A build drafts by prompt lookup where that was faster on the dataset's own prompts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_optimizer_builder.adapters.openvino_lookup import choose_lookup
from modelmill_optimizer_builder.domain.prompt_lookup import (
    LEAST_ROUNDS,
    LookupMode,
    LookupRound,
    LookupTrial,
    generation_fields,
    lookup_errors,
)
from modelmill_optimizer_builder.read_answers import read_open_prompts
from modelmill_testkit.models import kept_tiny_openvino, make_tiny_llama
from modelmill_tokenization.bounded.here import BoundedTokenizer

RATES = st.floats(1, 1000)
PROMPTS = [[20, 30, 40, 50] * 5] * LEAST_ROUNDS
FASTER, SLOWER = LookupRound(10, 20), LookupRound(10, 9)


@given(st.lists(st.builds(LookupRound, RATES, RATES), min_size=LEAST_ROUNDS, max_size=16))
def test_it_pays_only_where_the_whole_interval_is_faster(rounds: list[LookupRound]) -> None:
    trial = LookupTrial(rounds)
    figures = trial.figures(drafts=trial.pays)

    assert trial.pays == (figures["prompt_lookup_speedup_low"] > 1)
    assert bool(figures["prompt_lookup_num_tokens"]) == trial.pays
    if all(one.drafting <= one.without for one in rounds):
        assert not trial.pays


def test_the_speedup_is_of_a_tokens_seconds_so_that_slow_answers_count_more() -> None:
    trial = LookupTrial([LookupRound(1, 2), LookupRound(100, 50)])

    assert trial.speedup.value == pytest.approx((1 + 1 / 100) / (1 / 2 + 1 / 50))


def test_too_few_prompts_say_nothing() -> None:
    trial = LookupTrial([FASTER] * (LEAST_ROUNDS - 1))

    assert not trial.pays
    assert trial.figures(drafts=False) == {}


def chosen(
    folder: Path,
    *rounds: LookupRound,
    said: dict[str, Any] | None = None,
    mode: LookupMode = "auto",
) -> Any:
    """What was measured, and what the generation config says afterwards."""
    path = folder / "generation_config.json"
    if said is not None:
        path.write_text(json.dumps(said), encoding="utf-8")
    prompts = [[1, 2]] * len(rounds)
    figures = choose_lookup(folder, prompts, lambda *_: None, mode, lambda *_: list(rounds))
    return figures, json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def test_what_pays_is_written_beside_what_the_config_says(tmp_path: Path) -> None:
    said = {"eos_token_id": [2, 7], "top_k": 5}

    _, after = chosen(tmp_path, *[FASTER] * 8, said=said)

    assert after == {**said, **generation_fields()}


def test_what_does_not_pay_leaves_the_build_as_it_is(tmp_path: Path) -> None:
    figures, after = chosen(tmp_path, *[SLOWER] * 8, said={"top_k": 5})

    assert after == {"top_k": 5}
    assert figures["prompt_lookup_num_tokens"] == 0
    assert chosen(tmp_path / "nowhere", *[SLOWER] * 8)[1] is None


@pytest.mark.parametrize("number", [8, None])
def test_what_the_source_says_of_drafts_stands(tmp_path: Path, number: int | None) -> None:
    said = {"prompt_lookup_num_tokens": number}

    assert chosen(tmp_path, *[FASTER] * 8, said=said) == ({}, said)


def test_without_prompts_nothing_is_measured(tmp_path: Path) -> None:
    assert chosen(tmp_path) == ({}, None)


def test_what_is_ordered_decides(tmp_path: Path) -> None:
    figures, after = chosen(tmp_path, *[SLOWER] * 8, said={"top_k": 5}, mode="on")
    assert after == {"top_k": 5, **generation_fields()}
    assert figures["prompt_lookup_num_tokens"] == generation_fields()["prompt_lookup_num_tokens"]

    figures, after = chosen(tmp_path, *[FASTER] * 8, said=after, mode="off")
    assert (figures, after["prompt_lookup_num_tokens"], after["top_k"]) == ({}, None, 5)


@pytest.mark.parametrize(
    ("said", "form", "why"),
    [
        ("", None, None),
        ("", "gguf-q8_0", None),
        ("auto", "openvino-int4", None),
        ("on", "openvino-int8", None),
        ("yes", "openvino-int8", "is none of auto, on, off"),
        ("on", "onnx-int8", "begins with openvino-"),
        ("off", None, "begins with openvino-"),
    ],
)
def test_orders_that_mean_nothing_are_refused(said: str, form: str | None, why: str | None) -> None:
    found = lookup_errors(said, form)

    assert (found == []) if why is None else why in found[0]


@pytest.mark.heavy
def test_a_real_build_answers_each_prompt_twice(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    built = kept_tiny_openvino(pytestconfig.rootpath, make_tiny_llama(tmp_path / "llama"))
    folder = tmp_path / "build"
    folder.mkdir()
    for path in built.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}', encoding="utf-8")
    told: list[tuple[int, int]] = []

    figures = choose_lookup(folder, PROMPTS, lambda *done: told.append(done))

    assert told == [(number, len(PROMPTS)) for number in range(len(PROMPTS))]
    assert figures["prompt_lookup_speedup"] > 0
    said = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert said.get("prompt_lookup_num_tokens", 0) == figures["prompt_lookup_num_tokens"]


def asked(question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def read(folder: Path, rows: Sequence[dict[str, Any]]) -> list[list[int]]:
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tokenizer = BoundedTokenizer.load(make_tiny_llama(folder / "llama"))
    try:
        return read_open_prompts(folder, tokenizer)
    finally:
        tokenizer.close()


def test_prompts_are_of_rows_whose_answers_are_texts(tmp_path: Path) -> None:
    long = "what the weather of tomorrow will be, in many words of many letters"
    document = {"messages": [{"role": "assistant", "content": long}]}
    rows = [asked("Which?", "A"), document, asked("And how?", long), {"text": long}]

    found = read(tmp_path, rows)

    tokenizer = BoundedTokenizer.load(tmp_path / "llama")
    assert found == [tokenizer.encode_prompt(asked("And how?", "")["messages"][:1])]
    assert read_open_prompts(None, tokenizer) == []
    assert read_open_prompts(tmp_path / "nowhere", tokenizer) == []
    tokenizer.close()
