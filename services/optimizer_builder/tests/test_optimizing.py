"""Searches for objectives end to end: the service, its children and its engines on a tiny model."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED, JobState
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2 as pb
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings

from .builders import TENANT, World, adapter_version, make_rows

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

PRICE = "3.6"
LOAD = {"prompt_tokens": 16, "output_tokens": 8, "in_flight": 2}
SPECS: dict[str, dict[str, Any]] = {
    "speed": {"objective": {"tokens_per_s": 10**6}, "budget_seconds": 62},
    # Torch alone takes more.
    "memory": {"objective": {"memory_mb": 250}, "dataset_id": "ds-rows", "max_accuracy_loss": 1},
    "source": {"objective": {"p95_ms": 10**6}},
    "impossible": {"objective": {"memory_mb": 0.001}},
    "context": {"objective": {"p95_ms": 100}, "load": {"prompt_tokens": 4000}},
    "free": {"objective": {"p95_ms": 100}, "dataset_id": "ds-free"},
}


@dataclass
class Searches:
    """How each search ended."""

    store: FolderStore
    source: ModelReady
    ended: dict[str, JobState]
    announced: list[ModelReady]

    def summary(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = MessageToDict(self.ended[name].result.summary)
        return found

    def versions(self, name: str) -> list[ModelReady]:
        """What a search announced, in order."""
        return [it for it in self.announced if it.job_id == self.ended[name].job_id]


@pytest.fixture(scope="module")
def searches(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_adapter: Path
) -> Searches:
    root = tmp_path_factory.mktemp("searches")
    return asyncio.run(_searched(root, tiny_base, tiny_adapter))


async def _searched(root: Path, base: Path, adapter: Path) -> Searches:
    async with (
        run_nats(root / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
        running_service(
            "optimizer_builder",
            service_settings(nats, root) | {"machine_price_per_hour": PRICE},
        ) as service,
    ):
        world = World(FolderStore(root / "artifacts"), bus, root / "scratch")
        source = await _announced_source(world, base, adapter)
        await world.add_dataset("ds-rows", make_rows(40), make_rows(40, seed=3))
        await world.add_dataset("ds-free", make_rows(10), choices=())
        ended = {}
        for name, spec in SPECS.items():
            given = {"source_version_id": source.version_id, "load": LOAD} | spec
            ended[name] = await world.ended(await _ordered(service.address, given), within=500)
        found = [stored.body async for stored in bus.replay([MODEL_READY])]
        return Searches(world.store, source, ended, found)


async def _announced_source(world: World, base: Path, adapter: Path) -> ModelReady:
    filed = world.store.commit(base, kind="model", form="safetensors")
    imported = ModelReady(
        version_id="mv-base", tenant="shared", name="tiny", form="safetensors", digest=filed.digest
    )
    await world.announce(imported)
    made_from = {"base": filed.digest}
    tuned = world.store.commit(adapter, kind="model", form="adapter", made_from=made_from)
    source = adapter_version(tuned.digest, imported)
    source.job_id = ""  # of no job, so that only the test orders builds of it
    return await world.announce(source)


async def _ordered(address: str, spec: dict[str, Any]) -> str:
    async with open_channel(address, SECRET) as channel:
        stub = pb_grpc.OptimizerBuilderServiceStub(channel)
        request = pb.CreateBuildRequest(tenant=TENANT, spec=pb.BuildSpec(**spec))
        response = await stub.CreateBuild(request, timeout=20)
    job_id: str = response.job_id
    return job_id


def test_a_candidate_that_meets_the_objective_is_built_announced_and_named(
    searches: Searches,
) -> None:
    ended, summary = searches.ended["memory"], searches.summary("memory")
    chosen = searches.versions("memory")[-1]

    assert ended.status == JOB_STATUS_SUCCEEDED, ended.error
    assert summary["verdict"] == "met", summary
    assert summary["chosen"] == chosen.form != "source"
    assert ended.result.version_id == chosen.version_id
    assert chosen.metrics["load_memory_mb"] <= 250 < chosen.metrics["load_memory_mb_source"]
    assert chosen.metrics["load_in_flight"] == LOAD["in_flight"]
    assert chosen.metrics["accuracy_loss_allowed"] == 1
    assert chosen.metrics["test_rows"] == 40


def test_every_point_of_the_front_is_a_version_and_the_summary_has_the_table(
    searches: Searches,
) -> None:
    summary = searches.summary("memory")
    points = {point["form"]: point for point in summary["points"]}
    front = {form: it for form, it in points.items() if it["on_front"] and form != "source"}

    announced = {version.form: version.version_id for version in searches.versions("memory")}
    assert {form: it["version_id"] for form, it in front.items()} == announced
    for point in points.values():
        assert set(point["figures"]) == {
            "p95_ms",
            "first_token_ms",
            "tokens_per_s",
            "size_mb",
            "memory_mb",
            "cost_per_1k_requests",
        }
        assert all(it["low"] <= it["high"] for it in point["figures"].values())
    assert set(points) | set(summary["untried"]) == {
        "source",
        "openvino-int8",
        "openvino-int4",
        "onnx-fp32",
        "onnx-int8",
        "onnx-int4",
    }


def test_the_cost_before_and_after_follows_from_the_price_of_the_machine(
    searches: Searches,
) -> None:
    summary = searches.summary("memory")
    by_form = {point["form"]: point["figures"] for point in summary["points"]}
    after = by_form[summary["chosen"]]

    assert summary["cost"]["before"] == by_form["source"]["cost_per_1k_requests"]["value"]
    assert summary["cost"]["after"] == after["cost_per_1k_requests"]["value"]
    per_second = after["tokens_per_s"]["value"] / LOAD["output_tokens"]
    assert summary["cost"]["after"] == pytest.approx(float(PRICE) / 3.6 / per_second, rel=0.01)


def test_the_artifact_has_the_results_as_numbers_table_and_picture(searches: Searches) -> None:
    folder = searches.store.materialise(searches.ended["memory"].result.digest)
    report = json.loads((folder / "optimization.json").read_text())

    assert report["points"] == [
        {name: value for name, value in point.items() if name != "version_id"}
        for point in searches.summary("memory")["points"]
    ]
    assert "| source |" in (folder / "optimization.md").read_text()
    ElementTree.parse(folder / "optimization.svg")
    manifest = searches.store.manifest(searches.ended["memory"].result.digest)
    assert manifest.attributes["optimization"] == report
    card = (folder / "README.md").read_text()
    assert "One of the builds of a search for memory_mb 250: met." in card
    assert "| cost_per_1k_requests |" in card


def test_an_objective_that_nothing_meets_has_a_nearest_point_and_every_form_a_reason(
    searches: Searches,
) -> None:
    summary = searches.summary("speed")

    assert searches.ended["speed"].status == JOB_STATUS_SUCCEEDED
    assert summary["verdict"] == "not_met"
    assert f"the nearest is {summary['chosen']}" in summary["reason"]
    assert len({point["form"] for point in summary["points"]} | set(summary["untried"])) == 6
    assert all(point["loss"] is None for point in summary["points"] if point["form"] != "source")


def test_a_source_that_meets_the_objective_itself_is_the_result_and_nothing_is_announced(
    searches: Searches,
) -> None:
    ended = searches.ended["source"]

    assert searches.summary("source")["verdict"] == "met"
    assert ended.result.version_id == searches.source.version_id
    assert searches.versions("source") == []
    folder = searches.store.materialise(ended.result.digest)
    assert json.loads((folder / "optimization.json").read_text())["chosen"] == "source"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("impossible", "INFEASIBLE", "weights take"),
        ("context", "INVALID_INPUT", "exceed the model's context of 512"),
        ("free", "INVALID_INPUT", "asks for no choices"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    searches: Searches, name: str, code: str, said: str
) -> None:
    ended = searches.ended[name]

    assert ended.status == JOB_STATUS_FAILED
    assert ended.error.code == code
    assert said in f"{ended.error.message} {ended.error.remedy}"
    assert ended.failures == 0, "it was tried again, although nothing would change"
    assert searches.versions(name) == []


def test_an_infeasible_objective_has_that_verdict(searches: Searches) -> None:
    summary = searches.summary("impossible")

    assert summary["verdict"] == "infeasible"
    assert summary["objective"] == {"memory_mb": 0.001}
