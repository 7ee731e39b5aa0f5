"""`mill capacity` says what a load takes, and what the figures rest on."""

import json
from pathlib import Path

import pytest
from modelmill_capacity.measurements import PACKAGED
from modelmill_cli.app import run_app

AIM = ("capacity", "--rps", "20", "--p95", "3000", "--form", "openvino-int8")


def test_a_plan_is_one_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([*AIM, "--price-per-hour", "0.5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    replicas = {name: it["replicas"] for name, it in document["services"].items()}
    assert set(replicas) == {"gateway", "moderation", "inference"}
    assert document["p95_ms"] <= 3000
    assert document["first_token_ms"] <= document["first_token_p95_ms"] < document["p95_ms"]
    assert document["cost_per_hour"] == 0.5 * replicas["inference"]
    thousands = 20 * 3.6
    assert document["cost_per_thousand_requests"] == pytest.approx(
        document["cost_per_hour"] / thousands, abs=1e-6
    )


def test_a_plan_is_a_table_and_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([*AIM, "--price-per-hour", "0.5"]) == 0
    words = capsys.readouterr().out

    for said in ("inference", "replicas", "ms of 3,000", "first token", "bottleneck", "1,000 req"):
        assert said in words


def test_assumed_service_times_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["capacity", "--rps", "5", "--p95", "9000", "--form", "safetensors"]) == 0
    assert "assumed: safetensors on " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--p95", "5"], "out of reach: an idle openvino-int8 takes"),
        (["--output-tokens", "100000"], "may come to"),
        (["--form", "gguf-q8_0"], "no service times of gguf-q8_0"),
        (["--rps", "0"], "--rps"),
        (["--measurements", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    assert run_app([*AIM, *given]) == 2
    written = capsys.readouterr()
    assert (written.out, written.err.count("\n")) == ("", 1)
    assert said in written.err


def test_service_times_of_ones_own_are_planned_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = json.loads(PACKAGED.read_bytes())
    for step in document["engines"][0]["steps"]:
        step["seconds"] /= 100
    file = tmp_path / "times.json"
    file.write_text(json.dumps(document))

    assert run_app([*AIM, "--json"]) == 0
    packaged = json.loads(capsys.readouterr().out)
    assert run_app([*AIM, "--measurements", str(file), "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert own["p95_ms"] < packaged["p95_ms"]
    assert own["services"]["inference"]["replicas"] == 1
