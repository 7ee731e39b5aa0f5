"""Subjects of evals, built as `subjects` builds the others."""

from modelmill_jobs.subjects import token


def eval_state(eval_id: str) -> str:
    """Subject of how answers are graded."""
    return f"eval.state.{token(eval_id)}"
