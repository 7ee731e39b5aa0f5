"""A search for an objective as optimizer-builder records it, and forms of a model."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask
from tests.browser.live_gateway import TENANT, LiveGateway

ORDER = {"objective": {"p95_ms": 200}, "dataset_id": "ds-x", "max_accuracy_loss": 0.02}


def figure(value: float, spread: float = 0.0) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


def point(form: str, size: float, p95: float, lost: float, version: str = "") -> dict[str, Any]:
    figures = {"size_mb": figure(size), "p95_ms": figure(p95, 5)}
    return {
        **{"form": form, "figures": figures, "loss": figure(lost, lost / 2), "agreement": 0.9},
        **{"contradictory": {}, "version_id": version},
    }


SUMMARY: dict[str, Any] = {
    "verdict": "met",
    "chosen": "openvino-int8",
    "reason": HOSTILE[0],
    "objective": {"p95_ms": 200.0},
    "load": {"prompt_tokens": 128, "output_tokens": 64, "in_flight": 8},
    "untried": {"onnx-fp32": HOSTILE[1]},
    "points": [
        point("source", 200, 400, 0.0),
        point("openvino-int8", 74, 148, 0.01, "mv-build"),
        point("onnx-int8", 80, 160, 0.015),
        point("openvino-int4", 40, 100, 0.2, "mv-tuned"),
    ],
}


def search(gateway: LiveGateway, points: Sequence[dict[str, Any]] = SUMMARY["points"]) -> str:
    """A search that has found these points; its id."""
    job = ask(gateway, gateway.token(), "POST", "/v1/optimizations", model="default", **ORDER)
    made = ParseDict(
        {"digest": f"sha256:{'5' * 64}", "summary": SUMMARY | {"points": points}}, JobResult()
    )
    gateway.say_state(job["id"], JOB_STATUS_SUCCEEDED, kind="optimize", result=made)
    return str(job["id"])


def say_forms(gateway: LiveGateway) -> str:
    """A source with two builds; its id."""
    source = {"form": "safetensors", "name": "formed", "size_bytes": 200_000_000}
    _say(gateway, "mv-formed", **source)
    made = {"parent_version_id": "mv-formed", "dataset_id": "ds-x"}
    lossy = {"accuracy_loss": 0.3, "accuracy_loss_allowed": 0.02, "speedup": 2.5}
    _say(gateway, "mv-4", form="openvino-int4", size_bytes=40_000_000, metrics=lossy, **made)
    good = {"accuracy_loss": 0.01, "speedup": 1.6, "speedup_low": 1.4, "speedup_high": 1.8}
    _say(gateway, "mv-8", form="openvino-int8", size_bytes=74_000_000, metrics=good, **made)
    return "mv-formed"


def _say(gateway: LiveGateway, version_id: str, **fields: Any) -> None:
    gateway.run(gateway.house.say_model(version_id, tenant=TENANT, **fields))
