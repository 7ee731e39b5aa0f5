"""A form of a model is the trained model, or is refused under the name of its fault."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_evaluation.parity.attention_window import attention_window
from modelmill_evaluation.parity.comparison import Limit, check_likeness, check_prompts, compare
from modelmill_evaluation.parity.goldens import Goldens, KeptLogits, Logits, ParityError
from modelmill_evaluation.parity.taking import (
    LONG_NEW_TOKENS,
    NEW_TOKENS,
    Conversation,
    TokenizerFacts,
    take_goldens,
)

VOCABULARY = 2000
END = "<end>"
FACTS = TokenizerFacts("sha256:t", "sha256:c", {END: 1}, knows_tools=False, dated=False)
ROW = Conversation("test row 7", ({"role": "user", "content": "a question"},))


class LetterTokenizer:
    """One id a letter; the end of a turn is one token, unless a test takes that from it."""

    def __init__(self, *, opening: str = ">", special: str = END, start: int = 2) -> None:
        self._opening, self._special, self._start = opening, special, start

    def render(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tools: Sequence[Any] = ()
    ) -> str:
        turns = "".join(f"{turn['role']}: {turn['content']}{END}" for turn in messages)
        return turns + (self._opening if add_generation_prompt else "")

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for place, piece in enumerate(text.split(self._special)):
            ids += [1] if place else []
            ids += [self._start + ord(letter) % 1000 for letter in piece]
        return ids


class RandomSpeaker:
    """A model whose logits follow from what it reads, in no other way."""

    def continuations(
        self, prompts: Sequence[Sequence[int]], new_tokens: int
    ) -> list[Sequence[int]]:
        return [list(range(5, 5 + new_tokens)) for _ in prompts]

    def logits(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> Iterator[Logits]:
        for prompt, spoken in zip(prompts, continuations, strict=True):
            random = np.random.default_rng(sum(prompt))
            yield random.normal(0, 3, (len(spoken), VOCABULARY)).astype(np.float32)


def taken(
    *conversations: Conversation,
    facts: TokenizerFacts = FACTS,
    context: int = 0,
    window: int = 0,
) -> Goldens:
    return take_goldens(
        conversations,
        LetterTokenizer(),
        facts,
        RandomSpeaker(),
        compute="float32",
        context_tokens=context,
        window=window,
    )


def logits_of(goldens: Goldens) -> list[Logits]:
    """What an honest form says."""
    prompts = [golden.prompt_ids for golden in goldens.prompts]
    spoken = [golden.continuation for golden in goldens.prompts]
    return list(RandomSpeaker().logits(prompts, spoken))


def fault_of(tokenizer: LetterTokenizer, goldens: Goldens, **options: Any) -> tuple[str, str]:
    with pytest.raises(ParityError) as caught:
        check_prompts(goldens, tokenizer, form="a form", **options)
    assert caught.value.remedy
    return caught.value.code, caught.value.message


def test_rows_and_conversations_of_several_turns_and_scripts_become_goldens() -> None:
    goldens = taken(ROW)

    names = [golden.name for golden in goldens.prompts]
    assert names == ["test row 7", "plain", "system", "turns", "chinese", "emoji"]
    assert goldens.positions == len(names) * NEW_TOKENS
    assert goldens.prompts[0].logits.ids.shape == (NEW_TOKENS, 256)


def test_a_model_that_knows_tools_is_asked_with_one() -> None:
    goldens = taken(facts=replace(FACTS, knows_tools=True))

    assert goldens.prompts[-1].tools[0]["name"] == "get_weather"


def test_a_prompt_that_leaves_no_room_to_speak_is_no_golden() -> None:
    lengths = [len(golden.prompt_ids) for golden in taken(ROW).prompts]
    context = sorted(lengths)[2] + NEW_TOKENS

    fitting = taken(ROW, context=context)

    assert 0 < len(fitting.prompts) < len(lengths)
    assert all(len(g.prompt_ids) + NEW_TOKENS <= context for g in fitting.prompts)


def test_goldens_are_read_as_they_were_written(tmp_path: Path) -> None:
    goldens = taken(ROW)

    goldens.write(tmp_path)
    found = Goldens.read(tmp_path)

    assert found is not None
    assert replace(found, prompts=()) == replace(goldens, prompts=())
    for mine, theirs in zip(goldens.prompts, found.prompts, strict=True):
        assert replace(mine, logits=None) == replace(theirs, logits=None)  # type: ignore[arg-type]
        for name in ("ids", "values", "spreads"):
            assert np.array_equal(getattr(mine.logits, name), getattr(theirs.logits, name))


def test_an_artifact_without_goldens_has_none(tmp_path: Path) -> None:
    assert Goldens.read(tmp_path) is None


def test_goldens_of_a_later_release_are_not_guessed_at(tmp_path: Path) -> None:
    taken(ROW).write(tmp_path)
    file = tmp_path / "parity" / "goldens.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2'))

    with pytest.raises(ValueError, match="schema"):
        Goldens.read(tmp_path)


def test_an_honest_form_passes() -> None:
    goldens = taken(ROW)

    check_prompts(goldens, LetterTokenizer(), form="a form", template="sha256:c")
    likeness = compare(goldens, logits_of(goldens), form="a form")

    check_likeness(likeness, Limit(largest_share=0.0, greedy_agreement=1.0))
    assert likeness.positions == goldens.positions


def test_another_rendering_is_a_template_mismatch_and_shows_where() -> None:
    code, message = fault_of(LetterTokenizer(opening="]"), taken(ROW))

    assert code == "TEMPLATE_MISMATCH"
    assert "'test row 7'" in message
    assert "<end>]" in message
    assert "<end>>" in message


def test_another_template_is_a_mismatch_though_it_renders_the_goldens_alike() -> None:
    code, _ = fault_of(LetterTokenizer(), taken(ROW), template="sha256:other")

    assert code == "TEMPLATE_MISMATCH"


def test_a_special_token_in_pieces_is_named_though_every_prompt_differs_by_it() -> None:
    code, message = fault_of(LetterTokenizer(special="<other>"), taken(ROW))

    assert code == "SPECIAL_TOKEN_MISSING"
    assert "'<end>'" in message


def test_the_same_text_as_other_tokens_is_a_tokenizer_mismatch() -> None:
    code, message = fault_of(LetterTokenizer(start=3), taken(ROW))

    assert code == "TOKENIZER_MISMATCH"
    assert "from token 0 on" in message


def test_ids_that_training_read_otherwise_than_the_tokenizer_are_a_mismatch() -> None:
    """The goldens of a row are what training was given, not what the tokenizer says today."""
    honest = taken(ROW).prompts[0].prompt_ids
    goldens = taken(replace(ROW, trained_ids=(*honest[:-1], 0)))

    code, message = fault_of(LetterTokenizer(), goldens)

    assert code == "TOKENIZER_MISMATCH"
    assert f"from token {len(honest) - 1} on" in message


def test_a_template_that_writes_the_date_is_compared_by_its_source_alone() -> None:
    goldens = taken(ROW, facts=replace(FACTS, dated=True))

    check_prompts(goldens, LetterTokenizer(opening="]"), form="a form", template="sha256:c")


def test_logits_beyond_the_limit_are_refused_with_figure_and_limit() -> None:
    goldens = taken(ROW)
    rows = [row + np.float32(0.5) for row in logits_of(goldens)]

    likeness = compare(goldens, rows, form="a form")

    assert likeness.largest_difference == pytest.approx(0.5, abs=1e-3)
    assert likeness.greedy_agreement == 1.0
    check_likeness(likeness, Limit(largest_share=0.2, greedy_agreement=1.0))
    with pytest.raises(ParityError, match=r"LOGITS|0\.1") as caught:
        check_likeness(likeness, Limit(largest_share=0.1, greedy_agreement=0.0))
    assert caught.value.code == "LOGITS_DIFFER"


def test_a_logit_that_is_no_number_is_refused_whatever_the_limit() -> None:
    goldens = taken(ROW)
    rows = logits_of(goldens)
    rows[1][2, int(goldens.prompts[1].greedy[2])] = np.nan

    with pytest.raises(ParityError) as caught:
        check_likeness(compare(goldens, rows, form="a form"), Limit(1e9, 0.0))
    assert caught.value.code == "LOGITS_DIFFER"


@given(wrong=st.integers(0, NEW_TOKENS))
def test_agreement_is_the_share_of_positions_with_the_same_likeliest_token(wrong: int) -> None:
    goldens = taken(ROW)
    rows = logits_of(goldens)
    rows[0][:wrong, 3] = 1e6

    likeness = compare(goldens, rows, form="a form")

    assert likeness.greedy_agreement == 1 - wrong / goldens.positions
    floor = Limit(largest_share=np.inf, greedy_agreement=1 - 4 / goldens.positions)
    if wrong > 4:
        with pytest.raises(ParityError) as caught:
            check_likeness(likeness, floor)
        assert caught.value.code == "GREEDY_DISAGREES"
    else:
        check_likeness(likeness, floor)


def test_of_equal_logits_the_lower_id_is_greedy_as_argmax_has_it() -> None:
    logits = np.zeros((1, VOCABULARY), np.float32)
    logits[0, [70, 30]] = 1.0

    assert KeptLogits.of(logits).ids[0, 0] == logits.argmax() == 30


def test_forms_are_not_judged_by_nothing() -> None:
    with pytest.raises(ValueError, match="no goldens"):
        compare(replace(taken(ROW), prompts=()), [], form="a form")


def test_nothing_is_told_of_prompts_where_there_are_none() -> None:
    goldens = taken(ROW)

    assert goldens.prompt_ids_told == "identical"
    assert replace(goldens, prompts=()).prompt_ids_told == "not compared"


@pytest.mark.parametrize(
    ("window", "context", "has_longer"),
    [(0, 0, False), (200, 0, True), (200, 210, False), (20, 0, False), (4096, 0, False)],
)
def test_one_golden_is_longer_than_the_window_where_none_is_and_it_can_be_had(
    window: int, context: int, has_longer: bool
) -> None:
    goldens = taken(ROW, context=context, window=window)
    longer = [len(it.prompt_ids) for it in goldens.prompts if it.name == "window"]
    assert bool(longer) is has_longer
    assert all(250 <= tokens < 400 for tokens in longer)
    assert len(goldens.prompts[-1].continuation) == (LONG_NEW_TOKENS if longer else NEW_TOKENS)


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({}, 0),
        ({"sliding_window": None}, 0),
        ({"sliding_window": 512}, 512),
        ({"sliding_window": 512, "layer_types": ["full_attention", "sliding_attention"]}, 512),
        ({"sliding_window": 512, "layer_types": ["full_attention"]}, 0),
    ],
)
def test_the_window_is_that_of_layers_that_have_one(config: dict[str, Any], window: int) -> None:
    assert attention_window(SimpleNamespace(**config)) == window
