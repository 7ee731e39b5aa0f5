"""Scoring by log-likelihood and honest intervals, whatever engine computes the numbers."""

from evaluation.choices import (
    BatchScorer,
    ChoiceQuestion,
    ContinuationScorer,
    PromptTokenizer,
    answer_in_batches,
    answer_questions,
    choice_questions,
)
from evaluation.intervals import Interval, accuracy, paired_difference

__all__ = [
    "BatchScorer",
    "ChoiceQuestion",
    "ContinuationScorer",
    "Interval",
    "PromptTokenizer",
    "accuracy",
    "answer_in_batches",
    "answer_questions",
    "choice_questions",
    "paired_difference",
]
