"""What only the real vLLM can show; by `make vllm-test`, which names its command."""

import asyncio
import os
from pathlib import Path

from modelmill_inference.adapters.vllm import VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_inference.domain.generation import ScoreRequest

from .adapter_folders import write_adapter
from .vllm_cases import END, loaded, tokens_of

COMMAND = os.environ.get("VLLM_COMMAND", "")
WIDTHS = {"q_proj": 128, "v_proj": 64}


async def test_adapters_are_mixed_in_one_batch_and_each_answers_as_alone(
    wide_llama_folder: Path, tmp_path: Path
) -> None:
    kind = VllmKind(VllmOptions(command=f"{COMMAND} --dtype float32 --enforce-eager"))
    folders = [
        write_adapter(tmp_path / f"adapter{seed}", wide_llama_folder, seed=seed, widths=WIDTHS)
        for seed in (1, 2)
    ]
    base = kind.engine_for(wide_llama_folder, END)
    first, second = (kind.engine_for(wide_llama_folder, END, folder) for folder in folders)
    async with loaded(base), loaded(first), loaded(second):
        engines = (base, first, second)
        alone = [await tokens_of(engine) for engine in engines]

        together = await asyncio.gather(*(tokens_of(engine) for engine in engines * 4))

        assert len(set(alone)) == len(alone)
        assert together == alone * 4
        asked = ScoreRequest((20, 30, 40), ((50, 60),))
        scores = [(await engine.score(asked))[0].log_likelihood for engine in engines]
        assert len(set(scores)) == len(scores)
        await first.close()
        assert await tokens_of(second) == alone[2]
        assert await tokens_of(base) == alone[0]
