"""Versions change under load: no request fails, and no answer is by two of them."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill_registry.aliases import AliasBook
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import DomainError, NotFoundError, PreconditionError
from modelmill_testkit.models import make_other_openvino
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually
from prometheus_client import REGISTRY

from .adapter_folders import write_adapter
from .support import Answer, Service, nats_and_inference

pytestmark = [pytest.mark.heavy, pytest.mark.tier("drills")]

ALIAS = "kinds"
PROMPTS = ("the order of birth", "a small animal")
TOKENS = 40
IN_FLIGHT = 4


@pytest.fixture(scope="module")
def digests(
    openvino_folder: Path,
    artifact_root: Path,
    digest: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[str]:
    """Of two builds that answer differently."""
    other = make_other_openvino(openvino_folder, tmp_path_factory.mktemp("other"))
    store = FolderStore(artifact_root)
    return [digest, store.commit(other, kind="model", form="openvino-int8").digest]


@dataclass
class Load:
    """So many streams by the alias at all times, and what came of them."""

    service: Service
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    """What each version says to each prompt."""
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[DomainError] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)

    async def learn(self, version_id: str) -> None:
        """What a version says when it is asked by its own name."""
        self.texts[version_id] = {
            prompt: (await self._ask(version_id, prompt))[1] for prompt in PROMPTS
        }

    async def run(self, number: int) -> None:
        prompt = PROMPTS[number % len(PROMPTS)]
        while True:
            try:
                version_id, text = await self._ask(ALIAS, prompt)
            except DomainError as error:
                self.failed.append(error)
                continue
            self.answered[version_id] += 1
            if self.texts[version_id][prompt] != text:
                self.mixed.append(f"{version_id}: {text}")

    async def _ask(self, model: str, prompt: str) -> tuple[str, str]:
        answer = await self.service.answer(model, text=prompt, max_new_tokens=TOKENS)
        return answer.end.version_id, answer.text

    async def answers_by(self, version_id: str, count: int = 8) -> None:
        before = self.answered[version_id]
        await eventually(lambda: self.answered[version_id] >= before + count)


def kill_engines() -> int:
    """SIGKILL to every engine of this process; how many there were."""
    killed = 0
    for child in children_that_run("modelmill_inference.children.openvino"):
        with suppress(psutil.NoSuchProcess):
            child.kill()
            killed += 1
    return killed


async def test_swaps_rollback_and_a_killed_engine_under_load_fail_no_request(
    tmp_path: Path, artifact_root: Path, digests: list[str]
) -> None:
    async with nats_and_inference(tmp_path, artifact_root, max_loaded=2) as service:
        book, load = AliasBook(service.bus), Load(service)
        old, new = [await service.served(digest) for digest in digests]
        for version_id in (old, new):
            await load.learn(version_id)
        assert all(load.texts[old][prompt] != load.texts[new][prompt] for prompt in PROMPTS)
        await book.move("acme", ALIAS, old, moved_by="test")
        await eventually(lambda: service_answers(service, old))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(load.run(number)) for number in range(IN_FLIGHT)]
            await load.answers_by(old)
            for version_id in (new, old):
                await book.move("acme", ALIAS, version_id, moved_by="test")
                await load.answers_by(version_id)
            # A third one beside both: the one that no alias names leaves for it.
            third = await service.announce(digests[1])
            load.texts[third] = load.texts[new]
            await service.load_when_known(third)
            await book.move("acme", ALIAS, third, moved_by="test")
            await load.answers_by(third)
            assert sorted(await service.serving()) == sorted([old, third])

            assert kill_engines() == 2
            await load.answers_by(third)
            for task in running:
                task.cancel()

    assert load.failed == []
    assert load.mixed == []


async def service_answers(service: Service, version_id: str) -> bool:
    try:
        answer = await service.answer(ALIAS, text="x", max_new_tokens=1)
    except NotFoundError:
        return False
    return answer.end.version_id == version_id


async def test_an_alias_is_what_a_tenant_asks_for_until_it_is_removed(
    tmp_path: Path, artifact_root: Path, digests: list[str]
) -> None:
    async with nats_and_inference(tmp_path, artifact_root) as service:
        book = AliasBook(service.bus)
        version_id = await service.served(digests[0])
        await book.move("acme", ALIAS, version_id, moved_by="test")
        await eventually(lambda: service_answers(service, version_id))
        with pytest.raises(NotFoundError):
            await service.answer(ALIAS, text="x", tenant="other")

        await book.move("acme", ALIAS, "", moved_by="test")

        async def gone() -> bool:
            try:
                await service.answer(ALIAS, text="x", max_new_tokens=1)
            except NotFoundError:
                return True
            return False

        await eventually(gone)


async def test_a_cascade_is_asked_for_by_its_alias_and_calibrated_over_grpc(
    tmp_path: Path, artifact_root: Path, digests: list[str]
) -> None:
    async with nats_and_inference(tmp_path, artifact_root) as service:
        large, small = [await service.served(digest) for digest in digests]
        book = AliasBook(service.bus)

        async def by_cascade(threshold: float) -> Answer:
            options = {"kind": "cascade", "small": small, "threshold": threshold}
            await book.move("acme", ALIAS, large, moved_by="test", options=options)

            async def answer() -> Answer | None:
                try:
                    found = await service.answer(ALIAS, text=PROMPTS[0], max_new_tokens=TOKENS)
                except NotFoundError:
                    return None
                return found if found.end.cascade.threshold == threshold else None

            found = await eventually(answer)
            assert found is not None
            return found

        sure, unsure = await by_cascade(0.001), await by_cascade(1.5)
        assert (sure.end.version_id, sure.end.cascade.escalated) == (small, False)
        usage = sure.end.usage
        assert sure.end.cascade.spared_tokens == usage.prompt_tokens + usage.completion_tokens
        assert (unsure.end.version_id, unsure.end.cascade.escalated) == (large, True)
        assert unsure.end.cascade.confidence == sure.end.cascade.confidence
        assert 0 < sure.end.cascade.confidence < 1

        asked = pb.CalibrateCascadeRequest(tenant="acme", small=small, large=large)
        asked.examples.add(text=PROMPTS[0], answer=sure.text)
        asked.max_new_tokens = TOKENS
        found = await service.stub.CalibrateCascade(asked, timeout=30)
        assert (found.accuracy, found.large_accuracy, found.small_share) == (1.0, 0.0, 1.0)
        assert found.threshold == sure.end.cascade.confidence


async def test_a_model_too_large_for_memory_is_refused_while_another_answers(
    tmp_path: Path, artifact_root: Path, digests: list[str]
) -> None:
    limit = 420 * 2**20
    async with nats_and_inference(tmp_path, artifact_root, memory_bytes=limit) as service:
        small = await service.served(digests[0])
        labels = {"version": small}
        held = REGISTRY.get_sample_value("modelmill_version_memory_bytes", labels)
        assert held is not None
        # A process with the libraries, two tiny layers, and a cache of 16 MiB.
        assert 50 * 2**20 < held < 400 * 2**20
        huge = artifact_root / "huge"
        make_other_openvino(service.store.materialise(digests[0]), huge)
        with (huge / "padding.bin").open("wb") as padding:
            padding.truncate(limit)
        digest = service.store.commit(huge, kind="model", form="openvino-int8").digest
        answering = asyncio.create_task(service.answer(small, text="x", max_new_tokens=60))

        with pytest.raises(PreconditionError, match="the limit here is 420 MiB") as refused:
            await service.load_when_known(await service.announce(digest))

        assert refused.value.reason == "MODEL_TOO_LARGE"
        assert (await answering).end.version_id == small
        assert list(await service.serving()) == [small]


async def test_adapters_come_and_go_beside_their_base_which_answers_as_before(
    tmp_path: Path, artifact_root: Path, digests: list[str], llama_folder: Path
) -> None:
    async with nats_and_inference(tmp_path, artifact_root, max_loaded=2) as service:
        made_from = service.store.commit(llama_folder, kind="model", form="safetensors").digest
        base = await service.announce(made_from, form="safetensors")
        build = await service.announce(digests[0], parent=base)
        adapters = []
        for seed in (1, 2):
            folder = write_adapter(tmp_path / f"adapter-{seed}", llama_folder, seed=seed)
            filed = service.store.commit(
                folder, kind="model", form="adapter", made_from={"base": made_from}
            )
            adapters.append(await service.announce(filed.digest, form="adapter", parent=base))
        await service.load_when_known(build)
        await AliasBook(service.bus).move("acme", ALIAS, build, moved_by="test")
        await eventually(lambda: service_answers(service, build))
        before = (await service.answer(build, text="x", max_new_tokens=24)).text
        running = asyncio.create_task(service.answer(build, text="x", max_new_tokens=400))

        texts = []
        for adapter in adapters:
            await service.load_when_known(adapter)
            answer = await service.answer(adapter, text="x", max_new_tokens=24)
            assert answer.end.version_id == adapter
            texts.append(answer.text)

        assert len({before, *texts}) == 3
        assert (await running).end.version_id == build
        assert (await service.answer(build, text="x", max_new_tokens=24)).text == before
        # There is room for two: one adapter made room for the other.
        assert sorted(await service.serving()) == sorted([build, adapters[1]])
