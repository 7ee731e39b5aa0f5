"""Measure the judge as it is served: Score of held-out rows, asked of a running Modelmill.

    python examples/safety-classifier/measure.py [--state .modelmill] [--outside ROWS.jsonl]
        [--out FILE.json]

Beside it the same figures for moderation's starter rules, which judge words. `--outside` names
further rows, {"text", "label", "group"}, that may not be kept in this repository.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judge_figures import SAFE, Judged, figures, rate, shares_of
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import Conversation, ScoreRequest
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_cli.demo.report import machine_facts
from modelmill_cli.gateway import DEFAULT_TENANT
from modelmill_cli.state_folder import StateFolder
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.judge import Judge
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
STARTERS = Path("services/moderation/src/modelmill_moderation/policies")
SETS = ("held_out", "held_answers")
NOT_HARM = frozenset({"pii", "secrets"})
"""Categories of starter rules that say nothing about what a text is for."""
CALL_SECONDS = 60.0
WIDTH = 120

Row = dict[str, str]


def read_judge(file: Path) -> Judge:
    """The first judge of a policy."""
    return parse_policy({file.name: file.read_text("utf-8")}).judges[0]


def read_rows(file: Path) -> list[Row]:
    """Rows in their order."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


async def ask(state: StateFolder, judge: Judge, rows: Sequence[Row]) -> dict[str, Any]:
    """`judged` rows, `seconds` of each call, and the `version_id` that answered."""
    runtime = state.read_runtime()
    address = f"127.0.0.1:{runtime.grpc_ports['inference']}"
    labels, judged, seconds, version = [label for label, _ in judge.labels], [], [], ""
    async with open_channel(address, runtime.service_secret) as channel:
        stub = InferenceServiceStub(channel)
        for row in rows:
            messages = [
                ChatMessage(role="system", content=judge.instruction),
                ChatMessage(role="user", content=row["text"]),
            ]
            request = ScoreRequest(
                tenant=DEFAULT_TENANT,
                model=judge.classifier or "",
                conversation=Conversation(messages=messages),
                continuations=labels,
            )
            began = time.perf_counter()
            with domain_errors():
                answer = await stub.Score(request, timeout=CALL_SECONDS)
            seconds.append(time.perf_counter() - began)
            version = answer.version_id
            shares = shares_of(labels, [score.log_likelihood for score in answer.scores])
            judged.append(Judged(row["group"], row["label"], shares))
    return {"judged": judged, "seconds": seconds, "version_id": version}


def by_rules(rows: Sequence[Row]) -> dict[str, Any]:
    """What the starter rules make of the same rows: any match of a rule about harm."""
    files = {file.name: file.read_text("utf-8") for file in sorted(STARTERS.glob("*.yaml"))}
    bundle = compile_policy(parse_policy(files))
    compiled = CompiledPolicy.from_bundle(bundle.content, bundle.digest)

    def flagged(row: Row) -> bool:
        matches = compiled.check(row["text"], Direction.INPUT).matches
        return any(match.category not in NOT_HARM for match in matches)

    found = [(row, flagged(row)) for row in rows]
    groups = sorted({row["group"] for row in rows})
    return {
        "caught": rate(hit for row, hit in found if row["label"] != SAFE),
        "false_alarms": rate(hit for row, hit in found if row["label"] == SAFE),
        "flagged_by_group": {
            group: rate(hit for row, hit in found if row["group"] == group) for group in groups
        },
    }


def measured(state: StateFolder, outside: Path | None) -> dict[str, Any]:
    """Everything, with what it was measured on."""
    judge = read_judge(HERE / "policy.yaml")
    content: dict[str, Any] = {"commit": _commit(), "machine": machine_facts()}
    sets = {name: HERE / "data" / f"{name}.jsonl" for name in SETS}
    if outside is not None:
        sets["outside"] = outside
    for name, file in sets.items():
        rows = read_rows(file)
        found = asyncio.run(ask(state, judge, rows))
        cuts = statistics.quantiles(found["seconds"], n=100)
        content["version_id"] = found["version_id"]
        content[name] = {
            "model": figures(found["judged"], dict(judge.labels), judge.threshold),
            "starter_rules": by_rules(rows),
            "milliseconds": {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3},
        }
    return content


def show(console: Console, name: str, found: dict[str, Any]) -> None:
    """Flagged rows by group, and the curve."""
    model, rules = found["model"], found["starter_rules"]
    table = Table("rows of", "flagged by the model", "by starter rules", title=name)
    for group, flagged in model["flagged_by_group"].items():
        table.add_row(group, words(flagged), words(rules["flagged_by_group"][group]))
    for title in ("caught", "false_alarms"):
        table.add_row(title, words(model[title]), words(rules[title]))
    for label, right in model["right_by_label"].items():
        caught = model["caught_by_label"].get(label, {"rows": 0})
        table.add_row(f"{label}: caught; named", words(caught), words(right))
    for title in ("right_label", "right_side"):
        table.add_row(title, words(model[title]), "")
    for point in model["by_threshold"]:
        caught, false = words(point["caught"]), words(point["false_alarms"])
        table.add_row(f"at {point['threshold']}", caught, f"false {false}")
    console.print(table)


def words(share: dict[str, Any]) -> str:
    """A rate for people."""
    if not share["rows"]:
        return ""
    value, low, high = (100 * share[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f}) of {share['rows']}"


def main(arguments: list[str]) -> int:
    """Measure, print and write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--state", type=Path, default=Path(".modelmill"), help="of `mill up`")
    parser.add_argument("--outside", type=Path, help="further rows, kept elsewhere")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    chosen = parser.parse_args(arguments)
    content = measured(StateFolder(chosen.state), chosen.outside)
    console = Console(highlight=False, width=WIDTH)
    for name in (*SETS, "outside"):
        if name in content:
            show(console, name, content[name])
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=7"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
