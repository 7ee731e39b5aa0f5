"""Builds one adapter with the real service, once for all tests that check the result."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobRequested, JobState
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2 as pb
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.manifest import Manifest
from modelmill_registry.model_folder import import_model
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.bounded.here import try_tokenizer

from .builders import (
    TENANT,
    World,
    adapter_version,
    make_adapter,
    make_rows,
)

ROWS = 120


@dataclass
class Story:
    """Recorded results of that build."""

    root: Path
    base: Path
    adapter: Path
    source: ModelReady
    build: ModelReady
    manifest: Manifest
    folder: Path
    """The build, as anybody would materialise it."""
    evaluation: dict[str, Any]
    requests: list[JobRequested]
    """Jobs ordered after the adapter was announced, twice."""
    announced: int
    """Messages on MODELS when all was done."""
    int4: ModelReady
    """A build with int4 weights, scored on rows that its bf16 reference answers correctly."""
    gguf: ModelReady
    """A build to export, scored on the same rows."""
    pruned: ModelReady
    """The adapter with half of its heads and a quarter of its MLP's columns cut away."""
    edited: JobState
    """End of a build from an adapter whose chat template was changed after its training."""
    was_healthy: bool
    parent_libraries: str
    """What the service's own process had mapped while it worked."""
    exit_status: int | None = None
    announced_builds: list[ModelReady] = field(default_factory=list)

    @property
    def gguf_manifest(self) -> Manifest:
        return FolderStore(self.root / "artifacts").manifest(self.gguf.digest)

    @property
    def int4_manifest(self) -> Manifest:
        return FolderStore(self.root / "artifacts").manifest(self.int4.digest)

    @property
    def int4_folder(self) -> Path:
        return FolderStore(self.root / "artifacts").materialise(self.int4.digest)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_adapter(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter"), tiny_base)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_adapter: Path) -> Story:
    root = tmp_path_factory.mktemp("story")
    return asyncio.run(_live_through(root, tiny_base, tiny_adapter))


async def _live_through(root: Path, base: Path, adapter: Path) -> Story:
    async with (
        run_nats(root / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
        running_service("optimizer_builder", service_settings(nats, root)) as service,
    ):
        world = World(FolderStore(root / "artifacts"), bus, root / "scratch")
        source = await _announce_adapter(world, base, adapter)
        build = await eventually(lambda: _build_of(bus, source), within=200)
        libraries = _mapped_libraries(service.pid)
        folder = world.store.materialise(build.digest)
        evaluation = json.loads((folder / "evaluation.json").read_text())
        int4, gguf, pruned = await _ordered_builds(world, service.address, source, evaluation)
        edited = await _announce_edited(world, source, adapter, folder)
        edited_ended = await world.ended(await _order(service.address, edited.version_id, ""))
        requests = [stored.body async for stored in bus.replay(["job.requested.optimize.>"])]
        builds = [stored.body async for stored in bus.replay([MODEL_READY])]
        return Story(
            root=root,
            base=base,
            adapter=adapter,
            source=source,
            build=build,
            manifest=world.store.manifest(build.digest),
            folder=folder,
            evaluation=evaluation,
            requests=requests,
            announced=await bus.last_sequence("MODELS"),
            int4=int4,
            gguf=gguf,
            pruned=pruned,
            edited=edited_ended,
            was_healthy=await service.is_healthy(),
            parent_libraries=libraries,
            exit_status=await service.stop(),
            announced_builds=[model for model in builds if model.form == "openvino-int8"],
        )


async def _announce_adapter(world: World, base: Path, adapter: Path) -> ModelReady:
    """Announce an adapter with its base and dataset, twice, as the bus may deliver it."""
    imported = await import_model(
        world.bus, world.store, base, tenant="shared", name="tiny", try_out=try_tokenizer
    )
    dataset = await world.add_dataset("ds-all", make_rows(ROWS))
    _write_tuned_evaluation(adapter)
    made_from = {"base": imported.digest, "dataset": dataset.digest}
    filed = world.store.commit(adapter, kind="model", form="adapter", made_from=made_from)
    source = adapter_version(filed.digest, imported, dataset.dataset_id)
    for _ in range(2):
        await world.announce(source)
    return source


async def _announce_edited(
    world: World, source: ModelReady, adapter: Path, build: Path
) -> ModelReady:
    """Announce the adapter with the goldens of its training, but another chat template."""
    folder = world.scratch / "edited"
    shutil.copytree(adapter, folder)
    shutil.copytree(build / "parity", folder / "parity")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n", "assistant:\n"))
    made_from = dict(world.store.manifest(source.digest).made_from)
    filed = world.store.commit(folder, kind="model", form="adapter", made_from=made_from)
    edited = ModelReady()
    edited.CopyFrom(source)
    # Of no job, so that only the test orders a build of it.
    edited.version_id, edited.digest, edited.job_id = "mv-edited", filed.digest, ""
    return await world.announce(edited)


def _right_rows(evaluation: dict[str, Any]) -> list[object]:
    """Rows that the reference answers correctly, so that every error of a build is a loss."""
    answers = zip(make_rows(ROWS), evaluation["bf16"]["correct"], strict=True)
    return [row for row, correct in answers if correct]


async def _ordered_builds(
    world: World, address: str, source: ModelReady, evaluation: dict[str, Any]
) -> list[ModelReady]:
    """An int4, a GGUF and a pruned one, scored on rows that the reference answers correctly."""
    right = await world.add_dataset("ds-right", _right_rows(evaluation), make_rows(40, seed=3))
    orders = (
        {"target_form": "openvino-int4"},
        {"target_form": "gguf-q8_0"},
        {"target_form": "pruned", "pruning": pb.Pruning(heads=0.5, mlp=0.25)},
    )
    return [await _ordered_build(world, address, source, right, each) for each in orders]


async def _ordered_build(
    world: World,
    address: str,
    source: ModelReady,
    dataset: DatasetReady,
    order: Mapping[str, Any],
) -> ModelReady:
    """What an order makes, scored on the dataset."""
    job_id = await _order(address, source.version_id, dataset.dataset_id, **order)
    ended = await world.ended(job_id)
    assert ended.status == JOB_STATUS_SUCCEEDED, ended.error
    found = [stored.body async for stored in world.bus.replay([MODEL_READY])]
    [version] = [model for model in found if model.version_id == ended.result.version_id]
    return version


def _write_tuned_evaluation(adapter: Path) -> None:
    """An evaluation by the trainer with every row correct, which no random model reaches."""
    record = {
        "choices": ["person", "animal", "plant"],
        "rows": ROWS,
        "tuned": {"correct": [True] * ROWS},
    }
    (adapter / "evaluation.json").write_text(json.dumps(record))


async def _build_of(bus: Bus, source: ModelReady) -> ModelReady | None:
    stored = await bus.last(MODEL_READY, ModelReady)
    is_it = stored is not None and stored.body.parent_version_id == source.version_id
    return stored.body if stored is not None and is_it and stored.body.form != "adapter" else None


async def _order(address: str, version_id: str, dataset_id: str, **order: Any) -> str:
    order = {"target_form": "openvino-int8"} | order
    spec = pb.BuildSpec(source_version_id=version_id, dataset_id=dataset_id, **order)
    async with open_channel(address, SECRET) as channel:
        stub = pb_grpc.OptimizerBuilderServiceStub(channel)
        request = pb.CreateBuildRequest(tenant=TENANT, requested_by="tester", spec=spec)
        response = await stub.CreateBuild(request, timeout=20)
    job_id: str = response.job_id
    return job_id


def _mapped_libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()
