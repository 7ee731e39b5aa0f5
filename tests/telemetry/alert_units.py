"""For each alert a course of metrics on which it waits, fires and resolves, as promtool's units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.telemetry.alert_rules import RULE_FILES, alerts

RISING = "0+10x30 300x600"
"""A counter that rises by 10 a minute for half an hour, and then no more."""
STEADY = "0+90x700"
"""One that rises by 90 a minute."""
BAD_WHILE = "x30"
"""A gauge's first half hour."""
CHAT = 'modelmill_http_requests_total{route="chat",status="%s"}'


@dataclass(frozen=True)
class AlertUnit:
    """What is seen, minute by minute, and when the alert must be what."""

    series: Mapping[str, str]
    fires: str
    """When it fires, after `waits`, at which it does not yet."""
    resolved: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Beyond those of the rule itself."""
    waits: str = "0m"
    value: str = ""
    """As the summary shows it, where it does."""


UNITS: Mapping[str, AlertUnit] = {
    "GatewayErrors": AlertUnit(
        {CHAT % 500: RISING, CHAT % 200: STEADY}, fires="12m", resolved="50m", waits="4m"
    ),
    "FirstTextSlow": AlertUnit(
        {
            'modelmill_first_text_seconds_bucket{model="kinds",le="5.0"}': "0x700",
            'modelmill_first_text_seconds_bucket{model="kinds",le="10.0"}': RISING,
            'modelmill_first_text_seconds_bucket{model="kinds",le="+Inf"}': RISING,
        },
        fires="20m",
        resolved="60m",
        labels={"model": "kinds"},
        waits="8m",
    ),
    "RpcErrors": AlertUnit(
        {
            'modelmill_rpc_server_seconds_count{job="inference",code="INTERNAL"}': RISING,
            'modelmill_rpc_server_seconds_count{job="inference",code="OK"}': STEADY,
        },
        fires="12m",
        resolved="50m",
        labels={"job": "inference"},
        waits="4m",
    ),
    "ModerationHangs": AlertUnit(
        {"modelmill_moderation_spared_total": RISING}, fires="12m", resolved="50m", waits="4m"
    ),
    "JudgesGiveNoOpinion": AlertUnit(
        {'modelmill_judge_failures_total{kind="classifier",reason="timeout"}': RISING},
        fires="20m",
        resolved="60m",
        labels={"kind": "classifier", "reason": "timeout"},
        waits="8m",
    ),
    "GatewayFull": AlertUnit(
        {"modelmill_answers_refused_total": RISING, CHAT % 200: STEADY},
        fires="12m",
        resolved="50m",
        waits="4m",
    ),
    "InferenceLeftAlone": AlertUnit(
        {"modelmill_inference_left_alone": f"1{BAD_WHILE} 0x90"},
        fires="5m",
        resolved="40m",
        waits="1m",
    ),
    "InferenceAskedAgain": AlertUnit(
        {"modelmill_inference_retries_total": RISING, CHAT % 200: STEADY},
        fires="20m",
        resolved="60m",
        waits="8m",
    ),
    "QuotasUnknown": AlertUnit(
        {'modelmill_quota_refused_total{reason="unknown"}': RISING},
        fires="12m",
        resolved="50m",
        waits="4m",
    ),
    "QuotasWaitForTheBus": AlertUnit(
        {"modelmill_quota_waits_total": RISING, "modelmill_quota_requests_total": STEADY},
        fires="28m",
        resolved="70m",
        waits="14m",
    ),
    "QuotaBoundsBroken": AlertUnit(
        {"modelmill_quota_bounds_broken_total": "0x10 1x200"},
        fires="12m",
        resolved="100m",
        waits="9m",
    ),
    "BatchesFindNoRoom": AlertUnit(
        {
            'modelmill_batch_requests_total{outcome="waited"}': "0+10x70 700x200",
            'modelmill_batch_requests_total{outcome="answered"}': "0+1x300",
        },
        fires="60m",
        resolved="150m",
        waits="25m",
    ),
    "JobsWait": AlertUnit(
        {'modelmill_job_queue_oldest_seconds{kind="train"}': f"2000{BAD_WHILE} 10x90"},
        fires="10m",
        resolved="40m",
        labels={"kind": "train"},
        waits="4m",
    ),
    "JobsFail": AlertUnit(
        {'modelmill_jobs_finished_total{kind="train",outcome="failed"}': "0+1x10 10x120"},
        fires="12m",
        resolved="100m",
        labels={"kind": "train"},
    ),
    "ServiceAway": AlertUnit(
        {'up{job="trainer",instance="a"}': f"0{BAD_WHILE} 1x60"},
        fires="5m",
        resolved="40m",
        labels={"job": "trainer", "instance": "a"},
    ),
    "ServiceKeepsRestarting": AlertUnit(
        {'process_start_time_seconds{job="trainer",instance="a"}': "1 2 3 4 5x60"},
        fires="5m",
        resolved="30m",
        labels={"job": "trainer", "instance": "a"},
        waits="2m",
    ),
    "GatewayProcessAway": AlertUnit(
        {
            'modelmill_gateway_process_up{job="gateway",instance="a",process="1"}': (
                f"0{BAD_WHILE} 1x60"
            )
        },
        fires="5m",
        resolved="40m",
        labels={"job": "gateway", "instance": "a", "process": "1"},
    ),
    "EngineKeepsRestarting": AlertUnit(
        {'modelmill_engine_restarts_total{job="inference",instance="a"}': "0+1x10 10x60"},
        fires="8m",
        resolved="40m",
        labels={"job": "inference", "instance": "a"},
        waits="2m",
    ),
    "DiskNearlyFull": AlertUnit(
        {
            'modelmill_artifact_disk_free_bytes{job="trainer"}': f"5{BAD_WHILE} 50x60",
            'modelmill_artifact_disk_bytes{job="trainer"}': "100x90",
        },
        fires="10m",
        resolved="40m",
        labels={"job": "trainer"},
        waits="4m",
    ),
    "RecordsLost": AlertUnit(
        {'modelmill_usage_dropped_total{job="gateway"}': "0x5 1x150"},
        fires="7m",
        resolved="100m",
        labels={"job": "gateway"},
        waits="4m",
    ),
    "UsageWaitsOnDisk": AlertUnit(
        {'modelmill_usage_spilled_bytes{job="gateway"}': f"100{BAD_WHILE} 0x60"},
        fires="20m",
        resolved="40m",
        labels={"job": "gateway"},
        waits="14m",
    ),
    "CertificateExpires": AlertUnit(
        {
            'modelmill_tls_certificate_expires_timestamp_seconds{job="gateway"}': (
                "8640000x9 86400x20 8640000x60"
            )
        },
        fires="15m",
        resolved="40m",
        labels={"job": "gateway"},
        waits="5m",
    ),
    "ServiceCertificateExpires": AlertUnit(
        {
            'modelmill_mtls_certificate_expires_timestamp_seconds{job="trainer"}': (
                "8640000x9 86400x20 8640000x60"
            )
        },
        fires="15m",
        resolved="40m",
        labels={"job": "trainer"},
        waits="5m",
    ),
    "ChatAvailabilityBurnsFast": AlertUnit(
        {CHAT % 500: "0+20x30 600x100", CHAT % 200: "0+80x130"},
        fires="20m",
        resolved="130m",
        waits="1m",
        value="20%",
    ),
    "ChatAvailabilityBurnsSlowly": AlertUnit(
        {CHAT % 500: "0+1x60 60x500", CHAT % 200: "0+99x560"},
        fires="50m",
        resolved="500m",
        waits="10m",
        value="1%",
    ),
    "FirstTextBurnsFast": AlertUnit(
        {
            'modelmill_first_text_seconds_bucket{model="kinds",le="5.0"}': "0+1x30 30+10x300",
            'modelmill_first_text_seconds_count{model="kinds"}': "0+10x330",
        },
        fires="20m",
        resolved="300m",
        waits="1m",
        value="90%",
    ),
    "FirstTextBurnsSlowly": AlertUnit(
        {
            'modelmill_first_text_seconds_bucket{model="kinds",le="5.0"}': "0+9x60 540+10x500",
            'modelmill_first_text_seconds_count{model="kinds"}': "0+10x560",
        },
        fires="50m",
        resolved="500m",
        waits="10m",
        value="10%",
    ),
    "GuardBurnsFast": AlertUnit(
        {
            'modelmill_check_seconds_bucket{le="0.25"}': "0+5x30 150+10x300",
            "modelmill_check_seconds_count": "0+10x330",
        },
        fires="20m",
        resolved="330m",
        waits="1m",
        value="50%",
    ),
    "GuardBurnsSlowly": AlertUnit(
        {
            'modelmill_check_seconds_bucket{le="0.25"}': "0+49x60 2940+50x500",
            "modelmill_check_seconds_count": "0+50x560",
        },
        fires="50m",
        resolved="500m",
        waits="10m",
        value="2%",
    ),
    "JobStartBurnsFast": AlertUnit(
        {'modelmill_job_queue_oldest_seconds{kind="train"}': "900x30 10x300"},
        fires="20m",
        resolved="150m",
        waits="1m",
        value="100%",
    ),
    "JobStartBurnsSlowly": AlertUnit(
        {'modelmill_job_queue_oldest_seconds{kind="train"}': "900x30 10x800"},
        fires="25m",
        resolved="800m",
        waits="10m",
        value="100%",
    ),
}
"""By the alert's name."""


def write_units(folder: Path, names: Sequence[str]) -> Path:
    """A file for `promtool test rules` of these alerts."""
    rules = alerts()
    tests = [
        {
            "interval": "1m",
            "name": name,
            "external_labels": {"docs": "https://example.org/docs"},
            "input_series": [{"series": k, "values": v} for k, v in UNITS[name].series.items()],
            "alert_rule_test": _expected(name, rules[name]),
        }
        for name in names
    ]
    document = {
        "rule_files": [str(file) for file in RULE_FILES],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    file = folder / "units.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def _expected(name: str, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    unit = UNITS[name]
    labels = {**rule["labels"], **unit.labels}
    words = {"$externalLabels.docs": "https://example.org/docs"}
    words |= {f"$labels.{label}": value for label, value in labels.items()}
    words["$value | humanizePercentage"] = unit.value
    said = dict(rule["annotations"])
    for word, text in words.items():
        said = {key: each.replace(f"{{{{ {word} }}}}", text) for key, each in said.items()}
    fired = [{"exp_labels": labels, "exp_annotations": said}]
    return [
        {"eval_time": unit.waits, "alertname": name, "exp_alerts": []},
        {"eval_time": unit.fires, "alertname": name, "exp_alerts": fired},
        {"eval_time": unit.resolved, "alertname": name, "exp_alerts": []},
    ]
