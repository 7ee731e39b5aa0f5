"""Adapters upon one base, served at the same time by the openvino engine."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from modelmill_inference.adapters.openvino import EXACT, OpenVinoKind, PipelineOptions
from modelmill_inference.domain.generation import ScoreRequest
from modelmill_service_kit.errors import PreconditionError
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from safetensors.numpy import save_file

from .build_in_transformers import BuildInTransformers
from .engine_bench import PROMPTS, Bench

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

KIND = OpenVinoKind(PipelineOptions(properties=EXACT, prefix_cache=True))
EVERYWHERE = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CONFIGS = [
    dict(r=4, lora_alpha=8, target_modules=EVERYWHERE),
    dict(r=6, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    dict(r=8, lora_alpha=4, use_rslora=True, target_modules=EVERYWHERE),
    dict(r=2, lora_alpha=4, target_modules=["down_proj"]),
]


@pytest.fixture(scope="module")
def base(openvino_folder: Path, llama_folder: Path) -> BuildInTransformers:
    return BuildInTransformers(openvino_folder, llama_folder)


@pytest.fixture(scope="module")
def adapters(base: BuildInTransformers, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Random adapters, large enough to change what is said."""
    root = tmp_path_factory.mktemp("adapters")
    return [
        base.write_adapter(root / str(number), seed=number, **settings)
        for number, settings in enumerate(CONFIGS)
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    openvino_folder: Path, adapters: Sequence[Path], tokenizer: ChatTokenizer
) -> AsyncIterator[list[Bench]]:
    """The base alone, then each adapter upon it."""
    async with AsyncExitStack() as stack:
        engines = [
            KIND.engine_for(openvino_folder, tokenizer.eos_ids, adapter)
            for adapter in (None, *adapters)
        ]
        for engine in engines:
            stack.push_async_callback(engine.close)
            await engine.load()
        yield [Bench(engine, tokenizer) for engine in engines]


async def test_each_adapter_says_beside_the_others_what_it_says_alone(
    served: list[Bench], base: BuildInTransformers, adapters: list[Path]
) -> None:
    # A prefix of many blocks that all share, so that a cache of another would be found.
    prompt = 20 * "the kind of animal " + PROMPTS[0]
    ids = served[0].tokenizer.encode(prompt)
    expected = []
    for adapter in (None, *adapters):
        with base.adapted(adapter) as model:
            expected.append(model.greedy(ids, 12))

    for _ in range(2):
        together = await asyncio.gather(
            *(bench.tokens(prompt, max_new_tokens=12) for bench in served)
        )
        assert together == expected
    assert len(set(map(tuple, expected))) == len(served)


async def test_scores_and_vectors_are_the_adapters_too(
    served: list[Bench], base: BuildInTransformers, adapters: list[Path]
) -> None:
    prompt, continuation = tuple(range(3, 40)), tuple(range(60, 70))

    for adapter, bench in zip(adapters, served[1:], strict=True):
        (score,) = await bench.engine.score(ScoreRequest(prompt, (continuation,)))
        (vector,) = await bench.engine.embed([prompt + continuation])

        with base.adapted(adapter) as model:
            likelihood = sum(model.logprobs(prompt, continuation))
            assert score.log_likelihood == pytest.approx(likelihood, abs=1e-2)
            assert vector == pytest.approx(model.vector(prompt + continuation), abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "PREFIX_TUNING"},
        {"use_dora": True},
        {"alpha_pattern": {"q_proj": 64}},
        {"modules_to_save": ["lm_head"]},
    ],
)
async def test_an_adapter_that_is_not_plain_lora_is_refused(
    openvino_folder: Path,
    adapters: list[Path],
    tokenizer: ChatTokenizer,
    tmp_path: Path,
    change: dict[str, object],
) -> None:
    folder = shutil.copytree(adapters[0], tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    engine = KIND.engine_for(openvino_folder, tokenizer.eos_ids, folder)

    with pytest.raises(PreconditionError, match="refused the model"):
        await engine.load()
    await engine.close()


@pytest.mark.parametrize(
    ("module", "size"), [("layers.9.mlp.up_proj", 64), ("layers.1.mlp.up_proj", 32)]
)
async def test_an_adapter_of_another_model_is_refused(
    openvino_folder: Path, tokenizer: ChatTokenizer, tmp_path: Path, module: str, size: int
) -> None:
    name = f"base_model.model.model.{module}"
    down, up = np.ones((2, size), np.float32), np.ones((128, 2), np.float32)
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    engine = KIND.engine_for(openvino_folder, tokenizer.eos_ids, tmp_path)

    with pytest.raises(PreconditionError, match="refused the model"):
        await engine.load()
    await engine.close()
