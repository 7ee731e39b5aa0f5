"""One example of an evaluation, of its order and of what it found."""

from typing import Any

from modelmill_gateway.entrypoints.document.examples import (
    AT,
    BASE,
    DATASET,
    DIGEST,
    JOB_ANSWER,
    MODEL,
    VERSION,
)

BODY: dict[str, Any] = {
    "model": MODEL,
    "compare_to": BASE,
    "dataset_id": DATASET,
    "measures": ["accuracy", "perplexity"],
    "slices": [{"by": "length", "edges": [100, 500]}],
    "protections": [{"measure": "accuracy", "worst": 0.6, "largest_loss": 0.02}],
    "max_rows": 500,
}
MODELS = {
    "model": {"asked": MODEL, "version_id": VERSION},
    "compare_to": {"asked": BASE, "version_id": BASE},
}
MEASURED: dict[str, Any] = {
    "accuracy": {
        "model": {"value": 0.71, "low": 0.6, "high": 0.8, "rows": 88},
        "compare_to": {"value": 0.4, "low": 0.3, "high": 0.5, "rows": 88},
        "comparison": {
            "difference": {"value": 0.31, "low": 0.2, "high": 0.42, "rows": 88},
            "won": 0.36,
            "lost": 0.05,
            "tied": 0.59,
            "is_clear": True,
        },
    }
}
PROTECTION = {
    "measure": "accuracy",
    "slice_by": "",
    "slice_value": "",
    "worst": 0.6,
    "largest_loss": 0.02,
    "suite": "",
    "value": 0.71,
    "difference": 0.31,
    "passed": True,
    "why": "",
}
SUMMARY = {
    "models": MODELS,
    "suites": {"dataset": {"rows": 88, "measures": MEASURED, "shown": [*MEASURED]}},
    "protections": [PROTECTION],
    "passed": True,
}
RESULTS = {
    "models": MODELS,
    "suites": [
        {"name": "dataset", "rows": 88, "measures": MEASURED, "shown": [*MEASURED], "slices": {}}
    ],
    "protections": [PROTECTION],
    "passed": True,
}
EVALUATION: dict[str, Any] = {
    **JOB_ANSWER,
    "object": "evaluation",
    "kind": "evaluate",
    "status": "succeeded",
    "finished_at": AT + 60,
    "spec": BODY,
    "result": {"digest": DIGEST, "version_id": None, "summary": SUMMARY},
    "model": MODEL,
    "compare_to": BASE,
    "dataset_id": DATASET,
}
