"""Adapters upon one base, served at the same time by the openvino engine."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
import torch
from inference.adapters.openvino import EXACT, OpenVinoKind, PipelineOptions
from inference.domain.generation import ScoreRequest
from peft import LoraConfig, PeftModel, get_peft_model
from service_kit.errors import PreconditionError
from tokenization.chat_tokenizer import ChatTokenizer
from transformers import PreTrainedModel

from .build_in_transformers import load_in_transformers
from .engine_bench import PROMPTS, Bench

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

KIND = OpenVinoKind(PipelineOptions(properties=EXACT, prefix_cache=True))
EVERYWHERE = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CONFIGS = [
    LoraConfig(r=4, lora_alpha=8, target_modules=EVERYWHERE),
    LoraConfig(r=6, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    LoraConfig(r=8, lora_alpha=4, use_rslora=True, target_modules=EVERYWHERE),
    LoraConfig(r=2, lora_alpha=4, target_modules=["down_proj"]),
]


@pytest.fixture(scope="module")
def base(openvino_folder: Path, llama_folder: Path) -> PreTrainedModel:
    return load_in_transformers(openvino_folder, llama_folder)


@pytest.fixture(scope="module")
def adapters(base: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Random adapters, large enough to change what is said."""
    root = tmp_path_factory.mktemp("adapters")
    for number, config in enumerate(CONFIGS):
        torch.manual_seed(number)
        model = get_peft_model(base, config)
        for name, values in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(values, std=0.3)
        model.save_pretrained(root / str(number))
        model.unload()
    return [root / str(number) for number in range(len(CONFIGS))]


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


def greedy(model: torch.nn.Module, prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


async def test_each_adapter_says_beside_the_others_what_it_says_alone(
    served: list[Bench], base: PreTrainedModel, adapters: list[Path]
) -> None:
    # A prefix of many blocks that all share, so that a cache of another would be found.
    prompt = 20 * "the kind of animal " + PROMPTS[0]
    ids = served[0].tokenizer.encode(prompt)
    expected = [greedy(base, ids, 12)]
    for adapter in adapters:
        model = PeftModel.from_pretrained(base, adapter).eval()
        expected.append(greedy(model, ids, 12))
        model.unload()

    for _ in range(2):
        together = await asyncio.gather(
            *(bench.tokens(prompt, max_new_tokens=12) for bench in served)
        )
        assert together == expected
    assert len(set(map(tuple, expected))) == len(served)


async def test_scores_and_vectors_are_the_adapters_too(
    served: list[Bench], base: PreTrainedModel, adapters: list[Path]
) -> None:
    prompt, continuation = tuple(range(3, 40)), tuple(range(60, 70))
    tokens = torch.tensor([prompt + continuation])

    for adapter, bench in zip(adapters, served[1:], strict=True):
        (score,) = await bench.engine.score(ScoreRequest(prompt, (continuation,)))
        (vector,) = await bench.engine.embed([prompt + continuation])

        model = PeftModel.from_pretrained(base, adapter).eval()
        with torch.no_grad():
            told = model(tokens, output_hidden_states=True)
        model.unload()
        logprobs = torch.log_softmax(told.logits[0], -1)[len(prompt) - 1 : -1]
        likelihood = logprobs.gather(1, torch.tensor(continuation)[:, None]).sum().item()
        mean = told.hidden_states[-1][0].mean(0)
        assert score.log_likelihood == pytest.approx(likelihood, abs=0.1)
        assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=5e-3)


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
