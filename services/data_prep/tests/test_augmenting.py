"""New rows: of the right number, changed in the right place, and the same every time."""

import hashlib
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.augmenting.plan import (
    AugmentPlan,
    AugmentStep,
    SimilarityLimits,
    pair_similarity,
    plan_augment,
)
from modelmill_data_prep.domain.augmenting.row_makers import (
    BackTranslations,
    GenerationPrompt,
    Paraphrases,
    PromptTranslator,
    Synonyms,
)
from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals, KnownGroups
from modelmill_data_prep.domain.duplicates.row_keys import row_keys
from modelmill_data_prep.domain.row_batch import ROWS
from modelmill_data_prep.pipeline.worker_parts import load_synonyms
from modelmill_service_kit.errors import InvalidInputError

ANY = SimilarityLimits(0.0, 1.0)
GROUPS = [("big", "large"), ("buy", "purchase", "acquire"), ("漂亮", "美丽"), ("许多", "很多")]


def rows_of(texts: Sequence[str], **columns: Any) -> pa.RecordBatch:
    """`ROWS` in which the user says these texts and is told "big 漂亮"."""
    records = [
        {
            "line": line,
            "source": hashlib.sha256(text.encode()).digest(),
            "roles": ["system", "user", "assistant"],
            "contents": ["big 漂亮", text, "big 漂亮"],
            "extras": [None, None, None],
            "tools": None,
            "rejected": "big",
            "changes": ["unicode@1"],
            "made_by": None,
            **columns,
        }
        for line, text in enumerate(texts, start=1)
    ]
    return pa.RecordBatch.from_pylist(records, schema=ROWS)


def asked(rows: pa.RecordBatch) -> list[str]:
    return [contents[1] for contents in rows.column("contents").to_pylist()]


def test_words_get_synonyms_in_user_turns_alone() -> None:
    rows = rows_of(["A big house", "Buy it!", "这里很漂亮。", "nothing to change"])

    made = Synonyms(GROUPS, ANY).make(rows, 1.0, 0)

    assert asked(made)[::2] == ["A large house", "这里很美丽。"]
    assert asked(made)[1] in {"Purchase it!", "Acquire it!"}
    expected = rows.slice(0, 3).to_pylist()
    for record, text in zip(expected, asked(made), strict=True):
        record["contents"][1] = text
        record["made_by"] = "synonyms@1"
    assert made.to_pylist() == expected


@pytest.mark.parametrize(
    "text", ["BIG", "bigger", "big-hearted", "big@example.com", "see big.example", "x/big", "漂 亮"]
)
def test_what_only_looks_like_a_word_stays(text: str) -> None:
    assert Synonyms(GROUPS, ANY).make(rows_of([text]), 1.0, 0).num_rows == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from(["big ", "buy ", "dog ", "漂亮", "许多", "，"]), max_size=12))
def test_a_new_text_differs_in_words_of_one_group_alone(words: list[str]) -> None:
    text = "".join(words)
    group_of = {word: place for place, group in enumerate(GROUPS) for word in group}
    known = re.compile("|".join(group_of))

    made = Synonyms(GROUPS, ANY).make(rows_of([text]), 1.0, 3)

    assert made.num_rows == bool(known.search(text))
    for new in asked(made):
        assert new != text
        before, after = known.findall(text), known.findall(new)
        assert [group_of[word] for word in after] == [group_of[word] for word in before]
        assert known.split(new) == known.split(text)


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 60), st.sampled_from([0.1, 0.5, 1.0]))
def test_a_row_makes_the_same_row_in_every_batch(seed: int, cut: int, share: float) -> None:
    rows = rows_of([f"big {number} 许多" for number in range(60)])
    maker = Synonyms(GROUPS, ANY)

    whole = maker.make(rows, share, seed)
    parts = [maker.make(rows.slice(0, cut), share, seed), maker.make(rows.slice(cut), share, seed)]

    assert [row for part in parts for row in part.to_pylist()] == whole.to_pylist()


def test_about_the_share_of_the_rows_is_chosen_and_another_seed_chooses_others() -> None:
    rows = rows_of([f"big {number}" for number in range(2_000)])
    chosen = [set(asked(Synonyms(GROUPS, ANY).make(rows, 0.25, seed))) for seed in (1, 2)]

    assert all(400 < len(texts) < 600 for texts in chosen)
    assert len(chosen[0] & chosen[1]) < 200
    assert Synonyms(GROUPS, ANY).make(rows, 0.0, 1).num_rows == 0


def test_what_is_too_similar_or_too_different_makes_no_row() -> None:
    rows = rows_of(["big", "a big house at the end of the street where nobody lives"])

    def made(least: float, most: float) -> int:
        return len(asked(Synonyms(GROUPS, SimilarityLimits(least, most)).make(rows, 1.0, 0)))

    assert [made(0, 1), made(0.5, 1), made(0, 0.5), made(0.9, 1)] == [2, 1, 1, 0]


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_similarity_is_between_nothing_and_everything_shared(left: str, right: str) -> None:
    assert 0 <= pair_similarity(left, right) == pair_similarity(right, left) <= 1
    assert pair_similarity(left, left) == 1


def test_our_lists_have_each_word_once_and_every_group_two() -> None:
    groups = load_synonyms()
    words = [word for group in groups for word in group]

    assert len(words) == len(set(words)) > 1_500
    assert min(map(len, groups)) >= 2
    assert all(word == word.lower() and word.isalpha() for word in words)
    for left, right in (pair for group in groups for pair in combinations(group, 2)):
        if left.isascii():
            assert (left[0] in "aeiou") == (right[0] in "aeiou")


class Echo:
    """Answers with the prompt's text in small letters, in quotation marks; remembers prompts."""

    def __init__(self, *, silent_on: str = "\0") -> None:
        self.prompts: list[GenerationPrompt] = []
        self._silent_on = silent_on

    def __call__(self, prompts: Sequence[GenerationPrompt]) -> list[str]:
        self.prompts += prompts
        texts = [prompt.text.split("\n\n", 1)[1] for prompt in prompts]
        return ["" if self._silent_on in text else f'"{text.lower()}, so"\n' for text in texts]


def test_a_model_paraphrases_and_an_empty_paraphrase_makes_no_row() -> None:
    rows = rows_of(["Where is the STATION?", "A secret"])
    model = Echo(silent_on="secret")

    made = Paraphrases(model, SimilarityLimits()).make(rows, 1.0, 5)

    assert asked(made) == ["where is the station?, so"]
    assert made.column("made_by").to_pylist() == ["paraphrase@1"]
    assert made.column("line").to_pylist() == [1]
    assert all("in other words" in prompt.text for prompt in model.prompts)


def test_texts_go_to_the_other_language_and_back() -> None:
    calls: list[tuple[list[str], str, str]] = []

    def translate(texts: Sequence[str], source: str, target: str) -> list[str]:
        calls.append((list(texts), source, target))
        return ["" if text == "gone" else f"{text}!" for text in texts]

    rows = rows_of(["hello there", "你好，朋友", "gone"])
    made = BackTranslations(translate, ANY).make(rows, 1.0, 0)

    assert calls == [
        (["你好，朋友"], "Chinese", "English"),
        (["你好，朋友!"], "English", "Chinese"),
        (["hello there", "gone"], "English", "Chinese"),
        (["hello there!"], "Chinese", "English"),
    ]
    assert asked(made) == ["hello there!!", "你好，朋友!!"]
    assert made.column("made_by").to_pylist() == ["back_translation@1"] * 2


def test_a_model_translates_when_it_is_asked_to() -> None:
    model = Echo()

    assert PromptTranslator(model)(["Hello"], "English", "Chinese") == ["hello, so"]
    assert "from English to Chinese" in model.prompts[0].text
    assert PromptTranslator(model)([], "English", "Chinese") == []


@pytest.mark.tier("check")
@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=8),
    st.lists(st.sampled_from("efghijkl"), max_size=8),
    st.lists(st.sampled_from("abcdefghijklm"), max_size=8),
)
def test_a_text_is_known_exactly_when_a_store_has_it(
    first: list[str], second: list[str], wanted: list[str]
) -> None:
    with TemporaryDirectory() as root:
        folder = Path(root)
        stores = []
        for place, texts in enumerate((first, second)):
            store = KeyedOrdinals(folder / str(place))
            store.add(row_keys(rows_of(texts), 0).group, 0)
            stores.append(store)
        known = KnownGroups(stores, folder / "known")

        found = known.contain(row_keys(rows_of(wanted), 0).group)

    assert found.tolist() == [text in first or text in second for text in wanted]


def test_keys_that_share_a_half_are_told_apart(tmp_path: Path) -> None:
    store = KeyedOrdinals(tmp_path / "store")
    store.add(np.array([[7, 1], [7, 3], [7, 5]], np.uint64), 0)

    known = KnownGroups([store], tmp_path / "known")

    wanted = np.array([[7, low] for low in range(7)], np.uint64)
    assert known.contain(wanted).tolist() == [False, True] * 3 + [False]


def test_a_plan_has_every_step_with_its_defaults() -> None:
    assert plan_augment({}) == AugmentPlan()
    plan = plan_augment(
        {
            "steps": [
                {"method": "synonyms", "share": 0.5},
                {"method": "paraphrase", "share": 1, "model": "m", "min_similarity": 0.2},
            ]
        }
    )
    assert plan.steps == (
        AugmentStep("synonyms", 0.5, SimilarityLimits(0.5, 0.98)),
        AugmentStep("paraphrase", 1.0, SimilarityLimits(0.2, 0.98), "m"),
    )


def test_everything_that_is_wrong_with_the_steps_is_said_at_once() -> None:
    steps = [
        {"method": "magic", "share": 0.5},
        {"method": "synonyms", "share": 0, "model": "m"},
        {"method": "paraphrase", "share": 0.1, "min_similarity": 0.9, "max_similarity": 0.3},
        {"method": "back_translation", "share": 2, "model": "m", "max_similarity": 3},
        {"method": "back_translation", "share": 1, "model": "m"},
        *({"method": "paraphrase", "share": 0.1, "model": str(n)} for n in range(5)),
    ]

    with pytest.raises(InvalidInputError) as caught:
        plan_augment({"steps": steps})

    assert caught.value.errors == [
        "augment: at most 8 steps, got 10",
        "augment: step 1: method must be one of synonyms, back_translation, paraphrase, "
        "got 'magic'",
        "augment: step 2: method synonyms uses no model. Leave model out",
        "augment: step 2: share must be above 0 and at most 1, got 0",
        "augment: step 3: model is missing. Name the model for paraphrase",
        "augment: step 3: min_similarity must be below max_similarity, got 0.9 and 0.3",
        "augment: step 4: share must be above 0 and at most 1, got 2",
        "augment: step 4: min_similarity and max_similarity must be between 0 and 1, got 0.5 and 3",
        "augment: step 5: the same as step 4. Give one a share",
    ]
