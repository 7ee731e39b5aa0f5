"""Questions with a fixed set of answers, answered by the model's own likelihoods.

A model is right when the true answer is, among all choices, the one it finds likeliest after the
prompt. It need not know the format of an answer to be right, and gains nothing by knowing it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Protocol


class PromptTokenizer(Protocol):
    """What turns a conversation into the ids that the model reads and should write."""

    def encode_prompt(self, messages: Sequence[Any], /) -> list[int]:
        """Ids of the turns and of the opening of the assistant's turn."""

    def encode_answer(self, text: str, /) -> list[int]:
        """Ids of the answer and of the end of its turn."""


@dataclass(frozen=True)
class ChoiceQuestion:
    """One row of a test split, in token ids."""

    prompt_ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    """Each with the end of its turn, so that one choice that begins like another is told apart."""

    answer: int
    """Index of the true choice."""


class ContinuationScorer(Protocol):
    """A model that says how likely texts are."""

    def __call__(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]], /
    ) -> Sequence[float]:
        """Summed log-likelihood (natural logarithm) of each continuation after the prompt."""


class BatchScorer(Protocol):
    """A model that scores the choices of several questions at a time."""

    def __call__(self, questions: Sequence[ChoiceQuestion], /) -> Sequence[Sequence[float]]:
        """For each question the summed log-likelihood of each of its choices."""


def choice_questions(
    rows: Sequence[Mapping[str, Any]], choices: Sequence[str], tokenizer: PromptTokenizer
) -> list[ChoiceQuestion]:
    """Read rows of a dataset (`{"messages": [...]}`) as questions with `choices` as answers.

    Args:
        rows: The last turn of each is the assistant's and holds the true answer.
        choices: Distinct answers; every question has all of them.

    Raises:
        ValueError: choices repeat, or a row's last turn is not one of them; names the row.
    """
    if len(set(choices)) != len(choices):
        raise ValueError("the choices are not distinct")
    encoded = tuple(tuple(tokenizer.encode_answer(choice)) for choice in choices)
    position = {choice: index for index, choice in enumerate(choices)}
    questions = []
    for number, row in enumerate(rows, start=1):
        *turns, last = row["messages"]
        if last["role"] != "assistant" or last["content"] not in position:
            raise ValueError(f"row {number} does not end with one of the choices as an answer")
        prompt = tuple(tokenizer.encode_prompt(turns))
        questions.append(ChoiceQuestion(prompt, encoded, position[last["content"]]))
    return questions


def answer_questions(
    questions: Sequence[ChoiceQuestion],
    scorer: ContinuationScorer,
    on_progress: Callable[[int, int], None],
) -> list[bool]:
    """Whether the likeliest choice of each question is the true one; the first wins a tie.

    Args:
        on_progress: Told (questions answered, questions in all) after each.

    Raises:
        ValueError: the scorer gave another number of scores than choices, or one that is no number.
    """

    def one_by_one(batch: Sequence[ChoiceQuestion]) -> list[Sequence[float]]:
        return [scorer(question.prompt_ids, question.choices) for question in batch]

    return answer_in_batches(questions, one_by_one, on_progress, batch_size=1)


def answer_in_batches(
    questions: Sequence[ChoiceQuestion],
    scorer: BatchScorer,
    on_progress: Callable[[int, int], None],
    *,
    batch_size: int,
) -> list[bool]:
    """As `answer_questions`, for a model that is quicker with several questions at a time."""
    correct: list[bool] = []
    while batch := questions[len(correct) : len(correct) + batch_size]:
        answers = scorer(batch)
        if len(answers) != len(batch):
            raise ValueError(f"{len(answers)} lists of scores for {len(batch)} questions")
        for question, scores in zip(batch, map(list, answers), strict=True):
            if len(scores) != len(question.choices) or any(isnan(score) for score in scores):
                raise ValueError(f"question {len(correct) + 1}: not one score for each choice")
            correct.append(scores.index(max(scores)) == question.answer)
        on_progress(len(correct), len(questions))
    return correct
