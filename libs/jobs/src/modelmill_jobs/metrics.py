"""Prometheus metrics of jobs."""

from prometheus_client import Counter, Histogram

JOBS_FINISHED = Counter(
    "modelmill_jobs_finished", "Claims that ended, by what became of them.", ["kind", "outcome"]
)
JOB_SECONDS = Histogram(
    "modelmill_job_seconds",
    "Seconds from claim to outcome.",
    ["kind"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600),
)
