"""An experiment in the middle, for pictures of the console: some hundred keys, nothing decided."""

import random

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill_bus.subjects import experiment_units

from tests.browser.console_place import ask
from tests.browser.live_gateway import LiveGateway

KEYS = 420
COMPLETED = {"base": 0.62, "candidate": 0.7}
"""How often tasks are completed with the answers of each arm."""


def begin_experiment(gateway: LiveGateway, base: str, candidate: str) -> str:
    """Its id; what its keys said is on the bus."""
    token = gateway.token()
    ask(gateway, token, "PUT", "/v1/aliases/returns", version_id=base)
    order = {
        "alias": "returns",
        "candidates": [candidate],
        "primary": "completion",
        "guardrails": ["block_rate"],
    }
    made = ask(gateway, token, "POST", "/v1/experiments", **order)
    experiment_id, tenant = str(made["id"]), str(ask(gateway, token, "GET", "/v1/me")["tenant"])
    units = pb.ExperimentUnits(experiment_id=experiment_id, tenant=tenant, units=_units())
    gateway.run(gateway.house.bus.publish(experiment_units(experiment_id), units))
    return experiment_id


def _units() -> list[pb.ExperimentUnit]:
    draw = random.Random(3)
    made = []
    for _ in range(KEYS):
        arm = draw.choice(list(COMPLETED))
        values = {
            "completion": float(draw.random() < COMPLETED[arm]),
            "block_rate": float(draw.random() < 0.02),
            "errors": 0.0,
        }
        said = {name: pb.ExperimentValues(values=[value]) for name, value in values.items()}
        made.append(pb.ExperimentUnit(key_digest=draw.randbytes(16), arm=arm, values=said))
    return made
