"""Prometheus metrics of moderation."""

from typing import Literal, get_args

from prometheus_client import Counter, Histogram

from modelmill_moderation.domain.judge_answers import Failure

CHECK_SECONDS = Histogram(
    "modelmill_check_seconds",
    "Seconds that a whole text took to judge.",
    buckets=(
        *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
        *(0.1, 0.25, 0.5, 1, 2.5, 5),
    ),
)
JudgeKind = Literal["classifier", "service"]
JUDGE_SECONDS = Histogram(
    "modelmill_judge_seconds",
    "Seconds that a judge took for a window, with or without an opinion.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
JUDGE_FAILURES = Counter(
    "modelmill_judge_failures", "Windows on which a judge gave no opinion.", ["kind", "reason"]
)
for _kind in get_args(JudgeKind):
    JUDGE_SECONDS.labels(_kind)
    for _failure in Failure:
        JUDGE_FAILURES.labels(_kind, _failure.value)
