"""Whether traces are whole: every span has its parent, and every call that must be there is.

It reads spans as `mill up` keeps them, one JSON object each with `service`, `name`, `trace`, `span`
and `parent`.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SpanRecord = Mapping[str, Any]


class Edge(NamedTuple):
    """A span named `name` in service `child`, right below a span of service `parent`."""

    parent: str
    child: str
    name: str


CHECK = "modelmill.moderation.v1.ModerationService/Check"
GENERATE = "modelmill.inference.v1.InferenceService/Generate"
ORDER_TRAINING = "modelmill.trainer.v1.TrainerService/CreateFineTuningJob"

CHAT_EDGES = (
    Edge("gateway", "gateway", GENERATE),
    Edge("gateway", "inference", GENERATE),
    Edge("inference", "inference", "inference.prefill"),
)
"""What one answered prompt leaves."""

ASKED_ABOUT_EDGES = (
    Edge("gateway", "gateway", CHECK),
    Edge("gateway", "moderation", CHECK),
)
"""What it leaves besides where moderation judges it."""

TRAINING_EDGES = (
    Edge("gateway", "trainer", ORDER_TRAINING),
    Edge("trainer", "trainer", "job train"),
    Edge("optimizer-builder", "optimizer-builder", "job optimize"),
    Edge("optimizer-builder", "inference", "inference.prepare"),
)
"""What one training job and the build that follows it leave, through the bus."""


@dataclass(frozen=True)
class TraceCount:
    """How many of the traces that were asked for are whole, and what is wrong with the others."""

    complete: int
    of: int
    faults: Mapping[str, list[str]]
    """By trace id."""

    def __str__(self) -> str:
        return f"{self.complete} of {self.of} traces are complete"


def read_spans(file: Path) -> list[SpanRecord]:
    """The spans received so far; a line that is still being written is left for later."""
    if not file.exists():
        return []
    lines = file.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def count_complete(
    spans: Iterable[SpanRecord], requests: Mapping[str, str], edges: Collection[Edge]
) -> TraceCount:
    """Look at the trace of each request.

    Args:
        requests: by trace id, the span of the caller itself, which is not among `spans`.
        edges: what each of the traces must show.
    """
    by_trace: dict[str, list[SpanRecord]] = defaultdict(list)
    for span in spans:
        if span["trace"] in requests:
            by_trace[span["trace"]].append(span)
    faults = {
        trace: found
        for trace, caller in requests.items()
        if (found := trace_faults(by_trace[trace], caller, edges))
    }
    return TraceCount(len(requests) - len(faults), len(requests), faults)


def trace_faults(spans: Collection[SpanRecord], caller: str, edges: Collection[Edge]) -> list[str]:
    """What is wrong with one trace; nothing if it is whole."""
    by_id = {span["span"]: span for span in spans}
    faults = [
        f"{span['service']} {span['name']}: its parent is missing"
        for span in spans
        if span["parent"] != caller and span["parent"] not in by_id
    ]
    entries = sum(span["parent"] == caller for span in spans)
    if entries != 1:
        faults.append(f"{entries} spans are right below the caller's; one was expected")
    shown = {
        Edge(by_id[span["parent"]]["service"], span["service"], span["name"])
        for span in spans
        if span["parent"] in by_id
    }
    faults += [
        f"no {edge.child} {edge.name} below {edge.parent}" for edge in edges if edge not in shown
    ]
    return faults
