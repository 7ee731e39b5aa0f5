"""Prometheus metrics of training, from progress reports of the child process."""

from modelmill_jobs.progress import Report
from prometheus_client import Counter, Gauge

TRAINING_TOKENS = Counter("modelmill_training_tokens", "Tokens of rows that were trained on.")
TRAINING_LOSS = Gauge("modelmill_training_loss", "Loss of the last step of any job.")


def measure_step(report: Report) -> None:
    """Record the metrics of a step; reports without them are ignored."""
    if "loss" in report.metrics:
        TRAINING_LOSS.set(report.metrics["loss"])
    TRAINING_TOKENS.inc(report.metrics.get("tokens", 0.0))
