"""A tuned name is announced once its default build has ended, and then only an alias moves it."""

import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.house import BASE, House
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.subjects import job_state
from modelmill_jobs.submit import JobQueue
from modelmill_registry.default_build import DefaultBuild, default_build_of
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
FAST = {"speedup": 1.6, "speedup_high": 1.8}
SLOW = {"speedup": 0.5, "speedup_high": 0.6}
LOSSY = FAST | {"accuracy_loss": 0.05, "accuracy_loss_allowed": 0.02}
NOISY = {"speedup": 0.9, "speedup_high": 1.1}


@dataclass
class Tuned:
    """A version that training has just made, for a tenant of its own."""

    house: House
    tenant: str
    version_id: str
    name: str = "kinds-of-mine"

    @property
    def client(self) -> httpx.AsyncClient:
        return self.house.http(tenant=self.tenant)

    @property
    def order(self) -> DefaultBuild:
        version = ModelReady(
            version_id=self.version_id, tenant=self.tenant, form="adapter", job_id="ftjob-1"
        )
        found = default_build_of(version)
        assert found is not None
        return found

    async def announce(self) -> None:
        await self._say(self.version_id, form="adapter", job_id="ftjob-1", parent=BASE)

    async def build(
        self, version_id: str, metrics: dict[str, float], *, form: str = "openvino-int8"
    ) -> None:
        await self._say(version_id, form=form, parent=self.version_id, metrics=metrics)

    async def another(self) -> "Tuned":
        """A later one with the same name, whose build is fast."""
        other = Tuned(self.house, self.tenant, f"{self.version_id}-2")
        await other.announce()
        await other.default_build(FAST)
        return other

    async def default_build(self, metrics: dict[str, float]) -> None:
        await self.build(self.order.version_id, metrics)
        # Jobs come by another stream: one that has made nothing leaves the source.
        await eventually(lambda: self.is_known(self.order.version_id))
        await self.job_ends(JOB_STATUS_SUCCEEDED)

    async def job_ends(self, status: int) -> None:
        await JobQueue(self.house.bus).submit(
            kind="optimize",
            prefix="job",
            tenant=self.tenant,
            requested_by="optimizer-builder",
            idempotency_key=self.order.idempotency_key,
            spec=BuildSpec(source_version_id=self.version_id),
        )
        for each in (JOB_STATUS_RUNNING, status):
            state = JobState(
                job_id=self.order.job_id, kind="optimize", tenant=self.tenant, status=each
            )
            state.updated_at.GetCurrentTime()
            await self.house.bus.publish(job_state(self.order.job_id), state)

    async def chat(self, model: str = "") -> httpx.Response:
        body = {"model": model or self.name, "messages": QUESTION}
        return await self.client.post("/v1/chat/completions", json=body)

    async def answers_by(self) -> str:
        """The version behind the name, once there is one."""

        async def answered() -> str:
            answer = await self.chat()
            return str(answer.json().get("system_fingerprint", ""))

        return await eventually(answered)

    async def view(self, model: str = "") -> dict[str, Any]:
        view: dict[str, Any] = (await self.client.get(f"/v1/models/{model or self.name}")).json()
        return view

    async def is_known(self, version_id: str) -> bool:
        return (await self.client.get(f"/v1/models/{version_id}")).status_code == 200

    async def _say(self, version_id: str, *, parent: str, **fields: Any) -> None:
        await self.house.say_model(
            version_id,
            tenant=self.tenant,
            name=self.name,
            parent_version_id=parent,
            base_version_id=BASE,
            **fields,
        )


@pytest_asyncio.fixture(loop_scope="module")
async def tuned(house: House) -> Tuned:
    one = Tuned(house, f"t{uuid.uuid4().hex[:8]}", f"mv-{uuid.uuid4().hex}")
    await one.announce()
    return one


async def test_before_its_build_has_ended_a_version_answers_by_its_id_and_not_by_its_name(
    tuned: Tuned,
):
    by_id = await tuned.chat(tuned.version_id)
    by_name = await tuned.chat()
    moved = await tuned.client.put("/v1/aliases/mine", json={"version_id": tuned.version_id})

    assert by_id.json()["system_fingerprint"] == tuned.version_id
    assert (by_name.status_code, by_name.json()["error"]["code"]) == (409, "model_undecided")
    assert tuned.order.job_id in by_name.json()["error"]["message"]
    assert (await tuned.view())["serving_version_id"] is None
    assert moved.json()["version_id"] == tuned.version_id


@pytest.mark.parametrize(("metrics", "stands"), [(FAST, True), (NOISY, True), (SLOW, False)])
async def test_a_build_serves_its_name_unless_it_is_slower_than_its_source(
    tuned: Tuned, metrics: dict[str, float], stands: bool
):
    await tuned.default_build(metrics)
    build = tuned.order.version_id
    served = build if stands else tuned.version_id

    assert await tuned.answers_by() == served
    assert (await tuned.view())["serving_version_id"] == served
    assert (await tuned.view(build))["slower_than_source"] is not stands
    asked = await tuned.chat(build)
    moved = await tuned.client.put("/v1/aliases/mine", json={"version_id": tuned.version_id})
    assert asked.json()["system_fingerprint"] == build
    assert moved.json()["version_id"] == served


async def test_no_name_and_no_alias_means_a_build_that_loses_more_than_allowed(tuned: Tuned):
    await tuned.default_build(FAST)
    better = await tuned.answers_by()
    lossy = f"mv-{uuid.uuid4().hex}"
    await tuned.build(lossy, LOSSY)
    await eventually(lambda: tuned.is_known(lossy))
    variants = [{"name": "a", "version_id": lossy, "weight": 1.0}]

    moved = await tuned.client.put("/v1/aliases/mine", json={"version_id": tuned.version_id})
    refused = await tuned.client.put("/v1/aliases/mine", json={"version_id": lossy})
    split = await tuned.client.put("/v1/aliases/mine", json={"variants": variants})

    assert moved.json()["version_id"] == better
    for answer in (refused, split):
        assert answer.status_code == 422, answer.text
        assert "loses more than its order allowed" in answer.json()["error"]["message"]
        assert tuned.version_id in answer.json()["error"]["message"]
    assert (await tuned.view(lossy))["loses_too_much"] is True
    assert (await tuned.view(better))["loses_too_much"] is False
    assert (await tuned.view(tuned.version_id))["loses_too_much"] is None
    assert (await tuned.chat(lossy)).json()["system_fingerprint"] == lossy


async def test_a_build_whose_loss_was_not_measured_is_named_only_by_its_id(tuned: Tuned):
    await tuned.default_build(FAST)
    better = await tuned.answers_by()
    unscored = f"mv-{uuid.uuid4().hex}"
    await tuned.build(unscored, FAST | {"accuracy_loss_allowed": 0.02})
    await eventually(lambda: tuned.is_known(unscored))

    by_source = await tuned.client.put("/v1/aliases/mine", json={"version_id": tuned.version_id})
    by_id = await tuned.client.put("/v1/aliases/mine", json={"version_id": unscored})

    assert by_source.json()["version_id"] == better
    assert by_id.json()["version_id"] == unscored
    assert (await tuned.view(unscored))["loses_too_much"] is None


async def test_a_form_to_export_serves_no_name_and_is_shown_as_a_build(tuned: Tuned):
    await tuned.default_build(FAST)
    served = await tuned.answers_by()
    exported = f"mv-{uuid.uuid4().hex}"
    scored = {"accuracy_loss": 0.0, "accuracy_loss_allowed": 0.02}
    await tuned.build(exported, scored, form="gguf-q8_0")
    await eventually(lambda: tuned.is_known(exported))

    moved = await tuned.client.put("/v1/aliases/mine", json={"version_id": tuned.version_id})

    assert await tuned.answers_by() == served
    assert moved.json()["version_id"] == served
    assert (await tuned.view(exported))["loses_too_much"] is False


@pytest.mark.parametrize("end", [JOB_STATUS_FAILED, JOB_STATUS_CANCELLED])
async def test_a_build_that_did_not_come_leaves_the_source_for_good(tuned: Tuned, end: int):
    await tuned.job_ends(end)
    assert await tuned.answers_by() == tuned.version_id

    await tuned.default_build(FAST)
    await eventually(lambda: tuned.is_known(tuned.order.version_id))
    assert await tuned.answers_by() == tuned.version_id


async def ordered(tuned: Tuned) -> str:
    await tuned.build(f"mv-{uuid.uuid4().hex}", FAST)
    late = f"mv-{uuid.uuid4().hex}"
    await tuned.build(late, FAST)
    return late


async def trained_again(tuned: Tuned) -> str:
    return (await tuned.another()).order.version_id


@pytest.mark.parametrize("metrics", [FAST, SLOW])
@pytest.mark.parametrize("happens", [ordered, trained_again])
async def test_what_is_made_later_moves_no_name(
    tuned: Tuned,
    metrics: dict[str, float],
    happens: Callable[[Tuned], Coroutine[Any, Any, str]],
):
    await tuned.default_build(metrics)
    before = await tuned.answers_by()
    later = await happens(tuned)
    await eventually(lambda: tuned.is_known(later))
    assert await tuned.answers_by() == before

    await tuned.client.put(f"/v1/aliases/{tuned.name}", json={"version_id": later})
    answer = await tuned.chat()
    assert answer.headers["x-model-version"] == later
