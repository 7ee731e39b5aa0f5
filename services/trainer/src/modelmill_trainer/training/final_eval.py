"""Final evaluation: scores base and tuned model on the same test questions."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from modelmill_evaluation.choices import ChoiceQuestion, answer_in_batches
from modelmill_evaluation.intervals import accuracy, paired_difference
from modelmill_jobs.child import ChildPort, Preempted

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.token_tree import TokenTree

FULL_NODES = 384
"""A tree of this size takes no further question."""
QUESTIONS_SECONDS = 120.0
QUESTIONS_AT_A_TIME = 4
"""Batch size: enough to fill matrix products; more only increases the cost of attention."""


class TreeScorer:
    """Scores all choices of several questions in one forward pass over a token tree.

    Shared prefixes of prompts and of choices are computed once, and the last token of a choice is
    only predicted. One pass per label would compute the prompt 25 times for 25 labels.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    def __call__(self, questions: Sequence[ChoiceQuestion], /) -> list[list[float]]:
        """Summed log-likelihood of each choice, per question."""
        scores: list[list[float]] = []
        while len(scores) < len(questions):
            scores += self._score_some(questions[len(scores) :])
        return scores

    @torch.no_grad()
    def _score_some(self, questions: Sequence[ChoiceQuestion]) -> list[list[float]]:
        """Scores of as many leading questions as fit into a pass, at least one."""
        tree = TokenTree()
        rows: list[list[list[int]]] = []
        for question in questions:
            rows.append(_lay_out(tree, question))
            if len(tree) >= FULL_NODES:
                break
        nodes = sorted({node for choices in rows for nodes in choices for node in nodes})
        place = {node: index for index, node in enumerate(nodes)}
        likelihoods_P_V = torch.log_softmax(  # noqa: N806 - shape suffix
            self._model.logits(tree, nodes), dim=-1
        )
        return [
            [
                float(likelihoods_P_V[[place[node] for node in row], list(tokens)].sum())
                for row, tokens in zip(choices, question.choices, strict=True)
            ]
            for choices, question in zip(rows, questions, strict=False)
        ]


def _lay_out(tree: TokenTree, question: ChoiceQuestion) -> list[list[int]]:
    """Per choice, the nodes whose logits predict its tokens."""
    last = tree.add(question.prompt_ids)[-1]
    return [[last, *tree.add(tokens[:-1], below=last)] for tokens in question.choices]


def score_test_split(
    model: TrainedModel, questions: Sequence[ChoiceQuestion], port: ChildPort, *, phase: str
) -> list[bool]:
    """Whether `model` answers each question correctly.

    Raises:
        Preempted: the run was asked to stop; partial results are dropped.
    """

    def on_progress(done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report(
            phase, done=done, total=total, unit="row", max_silence_seconds=QUESTIONS_SECONDS
        )

    model.train(False)
    with model.as_frozen():
        return answer_in_batches(
            questions, TreeScorer(model), on_progress, batch_size=QUESTIONS_AT_A_TIME
        )


def evaluation_report(
    choices: Sequence[str],
    base: Sequence[bool] | None,
    tuned: Sequence[bool] | None,
    teacher: Sequence[bool] | None = None,
) -> dict[str, Any]:
    """Content of evaluation.json; without results if the test split was not scored.

    Args:
        teacher: Results of the model whose logits were learned, if there was one.
    """
    report: dict[str, Any] = {"choices": list(choices), "rows": len(tuned or ()), "differences": {}}
    for name, correct in (("base", base), ("tuned", tuned), ("teacher", teacher)):
        if correct:
            report[name] = {"correct": list(correct), "accuracy": asdict(accuracy(correct))}
    if base and tuned:
        report["differences"]["tuned-base"] = asdict(paired_difference(tuned, base))
    if tuned and teacher:
        report["differences"]["tuned-teacher"] = asdict(paired_difference(tuned, teacher))
    return report
