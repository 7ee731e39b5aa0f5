"""Prometheus metrics of training, from what the work process reports."""

from modelmill_jobs.progress import Report
from prometheus_client import Counter, Gauge

TRAINING_TOKENS = Counter("modelmill_training_tokens", "Tokens of rows that were trained on.")
TRAINING_LOSS = Gauge("modelmill_training_loss", "Loss of the last step of any job.")


def measure_step(report: Report) -> None:
    """Take the figures of a step; other reports have none of these."""
    if "loss" in report.metrics:
        TRAINING_LOSS.set(report.metrics["loss"])
    TRAINING_TOKENS.inc(report.metrics.get("tokens", 0.0))
