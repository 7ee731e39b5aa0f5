"""A gateway with experiments, and one that ran to its end: promoted, watched and rolled back."""

import json
import random
from collections.abc import Iterator
from functools import cache
from http.server import ThreadingHTTPServer
from typing import Any

from modelmill_experiments.phases import PhaseDecision, Phases
from modelmill_experiments.plan import BASE, Plan
from modelmill_experiments.sequential_test import Unit

from cli_support.gateways import Handler

Record = dict[str, Any]
ENDED, RUNS = "exp-1f2e3d", "exp-2a4b6c"
VERSIONS = ("mv-base", "mv-tuned", "mv-other")
HOLDBACK = 0.4
ORDER: Record = {
    "primary": "satisfaction",
    "guardrails": ["length"],
    "alpha": 0.3,
    "max_harm": {"length": 0.4, "errors": 0.3},
    "horizon": 3000,
}
ARMS = [
    {"name": BASE, "version_id": "mv-base", "share": 0.5},
    {"name": "candidate", "version_id": "mv-tuned", "share": 0.5},
]


class ExperimentGateway(ThreadingHTTPServer):
    """Remembers what it is sent; its experiments and their units may be changed at any time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        experiment, units = json.loads(_run_to_its_end())
        running = experiment | {"id": RUNS, "status": "running", "reason": None, "decisions": []}
        self.experiments: dict[str, Record] = {ENDED: experiment, RUNS: running}
        self.units: list[Record] = units
        """Of each of them."""
        self.heard: list[tuple[str, Record | None]] = []


class _Handler(Handler):
    server: ExperimentGateway

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/v1/")
        sort, _, name = path.partition("/")
        experiment_id, _, part = name.partition("/")
        if sort == "models" and (not name or name in VERSIONS):
            listed = {"data": [{"id": each} for each in VERSIONS]}
            self._answer(200, {"id": name} if name else listed)
        elif not name:
            self._answer(200, {"data": [*self.server.experiments.values()], "has_more": False})
        elif experiment_id not in self.server.experiments:
            self._answer(404, {"error": {"message": "no such thing"}})
        elif part == "units":
            self._answer(200, {"data": self.server.units, "has_more": False})
        else:
            self._answer(200, self.server.experiments[experiment_id])

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(sent) if sent else None
        self.server.heard.append((self.path, body))
        running = self.server.experiments[RUNS]
        if body is None:
            self._answer(200, running | {"status": "stopped", "reason": "stopped by ada"})
        elif body["alias"] == "worst":
            message = "no alias of your own 'worst'. GET /v1/aliases lists what there is"
            self._answer(404, {"error": {"message": message}})
        else:
            self._answer(200, running)

    def _answer(self, status: int, document: Record) -> None:
        self.answer(json.dumps(document).encode(), status)


@cache
def _run_to_its_end() -> str:
    """An experiment and its units, as the gateway would answer them."""
    shares = {str(arm["name"]): float(str(arm["share"])) for arm in ARMS}
    phases = Phases(Plan(shares, **ORDER), HOLDBACK)
    units = []
    for unit in _keys(phases):
        phases.count(unit["phase"], bytes.fromhex(unit["key"]), Unit(unit["arm"], unit["values"]))
        units.append(unit)
        if phases.current.ended:
            break
    experiment = {
        **{"id": ENDED, "object": "experiment", "created_at": 1_795_392_000, "alias": "helpdesk"},
        **{"status": "rolled_back", "reason": "after its promotion: worse", "phase": 1},
        **{
            "arms": ARMS,
            "window_seconds": 600.0,
            "holdback": HOLDBACK,
            "keys": phases.current.keys,
        },
        **{"sample_ratio": 1.25, "missing": ["errors"], "changed_by": "ada", **ORDER},
        "evidence": [
            {
                **{"candidate": "candidate", "metric": "satisfaction", "base_mean": 0.25},
                **{"candidate_mean": None, "base_keys": 1710, "candidate_keys": 0},
                **{"better": 84.25, "harmless": 310.5, "harmful": 1.0},
            }
        ],
        "decisions": [*map(_recorded, phases.decisions)],
    }
    return json.dumps([experiment, units])


def _keys(phases: Phases) -> Iterator[Record]:
    """Of users whom the candidate pleases more until it is promoted, and less afterwards."""
    draw = random.Random(7)
    while True:
        shares = phases.current.plan.shares
        arm = "candidate" if draw.random() < shares["candidate"] else BASE
        likely = 0.9 if (arm == "candidate") == (phases.number == 0) else 0.4
        values = {"errors": [0.0], "length": [draw.uniform(80, 120) for _ in range(2)]}
        values["satisfaction"] = [float(draw.random() < likely)]
        key = draw.randbytes(8).hex()
        yield {"phase": phases.number, "key": key, "arm": arm, "values": values}


def _recorded(made: PhaseDecision) -> Record:
    decision = made.decision
    return {
        **{"phase": made.phase, "verdict": str(decision.verdict)},
        **{"candidate": decision.candidate, "metric": decision.metric},
        **{"evidence": decision.evidence, "threshold": decision.threshold, "keys": decision.keys},
    }
