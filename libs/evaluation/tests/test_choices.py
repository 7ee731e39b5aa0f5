"""Questions are read from rows and answered by likelihood alone."""

from collections.abc import Sequence
from typing import Any

import pytest
from modelmill_evaluation.choices import (
    ChoiceQuestion,
    answer_in_batches,
    answer_questions,
    choice_questions,
)


class LetterTokenizer:
    """One id a character; 0 opens the assistant's turn and 1 ends it."""

    def encode_prompt(self, messages: Sequence[Any]) -> list[int]:
        return [ord(letter) for turn in messages for letter in turn["content"]] + [0]

    def encode_answer(self, text: str) -> list[int]:
        return [*map(ord, text), 1]


def row(user: str, answer: str) -> dict[str, Any]:
    turns = [("system", "s"), ("user", user), ("assistant", answer)]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def ignore_progress(_done: int, _total: int) -> None:
    """For tests that do not look at it."""


def test_a_question_holds_the_turns_before_the_answer_and_every_choice() -> None:
    [question] = choice_questions([row("u", "b")], ["a", "b"], LetterTokenizer())

    assert question == ChoiceQuestion(
        prompt_ids=(ord("s"), ord("u"), 0),
        choices=((ord("a"), 1), (ord("b"), 1)),
        answer=1,
    )


def test_a_row_whose_answer_is_no_choice_is_named() -> None:
    with pytest.raises(ValueError, match="row 2 "):
        choice_questions([row("u", "a"), row("u", "z")], ["a", "b"], LetterTokenizer())


def test_choices_that_repeat_are_refused() -> None:
    with pytest.raises(ValueError, match="not distinct"):
        choice_questions([row("u", "a")], ["a", "a"], LetterTokenizer())


def test_the_likeliest_choice_counts_even_when_all_are_unlikely() -> None:
    questions = choice_questions([row("x", "a"), row("y", "a")], ["a", "b"], LetterTokenizer())

    def scorer(prompt: Sequence[int], continuations: Sequence[Sequence[int]]) -> Sequence[float]:
        likes_a = ord("x") in prompt
        return [-80.0 if (c[0] == ord("a")) is likes_a else -90.0 for c in continuations]

    assert answer_questions(questions, scorer, ignore_progress) == [True, False]


def test_progress_is_told_after_each_question() -> None:
    questions = choice_questions([row("x", "a")] * 3, ["a", "b"], LetterTokenizer())
    told: list[tuple[int, int]] = []

    answer_questions(questions, lambda _p, c: [0.0] * len(c), lambda *step: told.append(step))

    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("scores", [[-1.0], [-1.0, float("nan")]])
def test_scores_that_cannot_be_compared_are_refused(scores: list[float]) -> None:
    questions = choice_questions([row("x", "a")], ["a", "b"], LetterTokenizer())

    with pytest.raises(ValueError, match="question 1"):
        answer_questions(questions, lambda _p, _c: scores, ignore_progress)


def test_batches_are_answered_in_order_and_the_last_may_be_smaller() -> None:
    rows = [row("x", answer) for answer in "abbab"]
    questions = choice_questions(rows, ["a", "b"], LetterTokenizer())
    sizes: list[int] = []
    told: list[tuple[int, int]] = []

    def prefers_a(batch: Sequence[ChoiceQuestion]) -> list[list[float]]:
        sizes.append(len(batch))
        return [[-1.0, -2.0] for _ in batch]

    correct = answer_in_batches(questions, prefers_a, lambda *step: told.append(step), batch_size=2)

    assert correct == [True, False, False, True, False]
    assert sizes == [2, 2, 1]
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_a_batch_with_a_missing_answer_is_refused() -> None:
    questions = choice_questions([row("x", "a")] * 2, ["a", "b"], LetterTokenizer())

    with pytest.raises(ValueError, match="1 lists of scores for 2 questions"):
        answer_in_batches(questions, lambda _b: [[-1.0, -2.0]], ignore_progress, batch_size=2)
