"""Subjects of webhook endpoints, built as `modelmill_jobs.subjects` builds the others."""

from modelmill_jobs.subjects import token


def webhook_state(webhook_id: str) -> str:
    """Subject of a webhook endpoint's record."""
    return f"webhook.state.{token(webhook_id)}"


def webhook_due(webhook_id: str) -> str:
    """Subject of the events that wait for a webhook endpoint."""
    return f"webhook.due.{token(webhook_id)}"


def webhook_attempt(webhook_id: str) -> str:
    """Subject of what came of the attempts to reach a webhook endpoint."""
    return f"webhook.attempt.{token(webhook_id)}"
