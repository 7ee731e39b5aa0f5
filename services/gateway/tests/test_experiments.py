"""Experiments over HTTP: from answers and feedback to promotion and rollback."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.house import BUILD, TUNED, House, run_house
from modelmill_experiments.phases import Phases
from modelmill_experiments.plan import Plan
from modelmill_experiments.sequential_test import Unit
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_A_TIME = 20
ORDER = {
    "alias": "best",
    "candidates": [TUNED],
    "primary": "completion",
    "alpha": 0.5,
    "max_harm": {"completion": 0.2, "errors": 0.5},
    "horizon": 2000,
    "window_seconds": 1,
    "holdback": 0.4,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    async with run_house(folder, experiment_seconds=0.1) as house:
        yield house


async def begin(house: House, tenant: str, **changes: Any) -> dict[str, Any]:
    client = house.http(tenant=tenant)
    await client.put("/v1/aliases/best", json={"version_id": BUILD})
    answer = await client.post("/v1/experiments", json=ORDER | changes)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ask(client: httpx.AsyncClient, user: str, better: str) -> None:
    """One user asks once; the task is completed with answers of one arm, and of no other."""
    asked = {"model": "best", "messages": [{"role": "user", "content": "hi"}], "user": user}
    answer = await client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    said = {
        "request_id": answer.headers["x-request-id"],
        "completed": answer.headers.get("x-model-variant") == better,
    }
    assert (await client.post("/v1/feedback", json=said)).status_code == 200


async def users(house: House, tenant: str, name: str, count: int, *, better: str) -> None:
    client = house.http(tenant=tenant)
    for first in range(0, count, AT_A_TIME):
        some = range(first, min(first + AT_A_TIME, count))
        await asyncio.gather(*(ask(client, f"{name} {number}", better) for number in some))


async def until_status(house: House, tenant: str, experiment_id: str, status: str) -> Any:
    client = house.http(tenant=tenant)

    async def is_so() -> dict[str, Any] | None:
        found = (await client.get(f"/v1/experiments/{experiment_id}")).json()
        return found if found["status"] == status else None

    return await eventually(is_so)


async def alias_of(house: House, tenant: str) -> dict[str, Any]:
    listed = (await house.http(tenant=tenant).get("/v1/aliases")).json()["data"]
    return next(each for each in listed if each["id"] == "best")


async def test_a_better_candidate_is_promoted_watched_and_rolled_back_when_it_gets_worse(
    house: House,
):
    experiment = await begin(house, "judge")
    assert experiment["status"] == "running"
    assert [arm["version_id"] for arm in experiment["arms"]] == [BUILD, TUNED]

    await users(house, "judge", "early", 160, better="candidate")
    watching = await until_status(house, "judge", experiment["id"], "watching")
    assert [it["verdict"] for it in watching["decisions"]] == ["promote"]
    shares = {it["name"]: it["weight"] for it in (await alias_of(house, "judge"))["variants"]}
    assert shares == {"candidate": 0.6, "base": 0.4}

    await users(house, "judge", "late", 240, better="base")
    over = await until_status(house, "judge", experiment["id"], "rolled_back")
    assert [it["verdict"] for it in over["decisions"]] == ["promote", "roll_back"]
    assert "completion" in over["reason"]
    assert over["missing"] == []
    assert {it["metric"] for it in over["evidence"]} == {"completion", "errors"}
    alias = await alias_of(house, "judge")
    assert alias["version_id"] == BUILD
    assert "variants" not in alias
    await replays_to(house, "judge", over)


async def replays_to(house: House, tenant: str, experiment: dict[str, Any]) -> None:
    """The units that anybody can read give the same decisions, bit for bit."""
    path = f"/v1/experiments/{experiment['id']}/units"
    units = (await house.http(tenant=tenant).get(path)).json()["data"]
    plan = Plan(
        shares={arm["name"]: arm["share"] for arm in experiment["arms"]},
        primary=experiment["primary"],
        guardrails=experiment["guardrails"],
        alpha=experiment["alpha"],
        max_harm=experiment["max_harm"],
        horizon=experiment["horizon"],
    )
    phases = Phases(plan, experiment["holdback"])
    for each in units:
        unit = Unit(each["arm"], each["values"])
        phases.count(each["phase"], bytes.fromhex(each["key"]), unit)
    made = [(it.decision.evidence, it.decision.keys) for it in phases.decisions]
    assert made == [(it["evidence"], it["keys"]) for it in experiment["decisions"]]


async def test_a_metric_that_never_arrives_is_named_and_nothing_is_promoted(house: House):
    experiment = await begin(house, "silent", guardrails=["satisfaction"], horizon=200)
    assert set(experiment["missing"]) == {"completion", "satisfaction", "errors"}

    await users(house, "silent", "early", 210, better="candidate")

    over = await until_status(house, "silent", experiment["id"], "no_winner")
    assert over["missing"] == ["satisfaction"]
    assert (await alias_of(house, "silent"))["version_id"] == BUILD


async def test_a_moved_alias_ends_its_experiment_and_stays_as_it_was_moved(house: House):
    experiment = await begin(house, "mover")
    client = house.http(tenant="mover")
    await client.put("/v1/aliases/best", json={"version_id": TUNED})

    stopped = await until_status(house, "mover", experiment["id"], "stopped")

    assert "moved the alias best by hand" in stopped["reason"]
    assert (await alias_of(house, "mover"))["version_id"] == TUNED


async def test_who_stops_an_experiment_has_the_base_back(house: House):
    experiment = await begin(house, "stopper")
    client = house.http(tenant="stopper")

    stopped = (await client.post(f"/v1/experiments/{experiment['id']}/stop")).json()

    assert (stopped["status"], stopped["decisions"]) == ("stopped", [])
    assert (await alias_of(house, "stopper"))["version_id"] == BUILD
    again = (await client.post(f"/v1/experiments/{experiment['id']}/stop")).json()
    assert again == stopped


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"alias": "worst"}, 404, "worst"),
        ({"primary": "happiness"}, 400, "happiness"),
        ({"guardrails": ["schema_validity"]}, 400, "schema_validity"),
        ({"candidates": ["mv-none"]}, 422, "mv-none"),
        ({"shares": [0.5, 0.5]}, 422, "shares"),
    ],
)
async def test_what_cannot_be_run_is_refused_by_name(
    house: House, change: dict[str, Any], status: int, says: str
):
    client = house.http(tenant="refused")
    await client.put("/v1/aliases/best", json={"version_id": BUILD})

    answer = await client.post("/v1/experiments", json=ORDER | change)

    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]["message"]
    assert (await client.get("/v1/experiments")).json()["data"] == []


async def test_an_alias_has_one_experiment_at_a_time(house: House):
    await begin(house, "double")
    client = house.http(tenant="double")

    second = await client.post("/v1/experiments", json=ORDER)

    assert second.status_code == 409
    assert "Stop it first" in second.json()["error"]["message"]


async def test_the_same_key_finds_the_experiment_again(house: House):
    client = house.http(tenant="repeat")
    await client.put("/v1/aliases/best", json={"version_id": BUILD})
    headers = {"idempotency-key": "one"}

    first = await client.post("/v1/experiments", json=ORDER, headers=headers)
    again = await client.post("/v1/experiments", json=ORDER, headers=headers)

    assert first.json()["id"] == again.json()["id"]
    for change in ({"alpha": 0.1}, {"holdback": 0.5}, {"candidates": [BUILD]}):
        other = await client.post("/v1/experiments", json=ORDER | change, headers=headers)
        assert other.status_code == 422


async def test_another_tenants_experiment_is_not_there(house: House):
    experiment = await begin(house, "owner")

    for path in ("", "/units"):
        answer = await house.http(tenant="other").get(f"/v1/experiments/{experiment['id']}{path}")
        assert answer.status_code == 404
