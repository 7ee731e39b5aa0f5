"""Tiny models of many architectures: two layers, random weights, one tokenizer.

    python -m tests.bench.tiny_architectures MODEL_TYPE FOLDER

Configuration and weights are those of the installed transformers; nothing is fetched. Tokenizer and
chat template are the tiny models' of libs/testkit: the table is of architectures, not of
tokenizers.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_testkit.models import make_tiny_llama, write_tiny_tokenizer
from modelmill_testkit.tiny_weights import DEEPSEEK_V2, DEEPSEEK_V3, TOKEN_IDS

CONTEXT_TOKENS = 512
DECODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
}
NO_GROUPS = DECODER | {"num_key_value_heads": 4}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
CODE_FILE = "modeling_internlm2.py"


@dataclass(frozen=True)
class Architecture:
    """One row of the table."""

    name: str
    """As people say it, with well-known models that have it."""
    model_type: str
    config: Mapping[str, Any] = field(default_factory=lambda: DECODER)


ARCHITECTURES = (
    Architecture("Llama 2 and 3, R1-Distill-Llama, Yi", "llama"),
    Architecture("Qwen 2 and 2.5, R1-Distill-Qwen", "qwen2"),
    Architecture("Qwen 3", "qwen3", DECODER | {"head_dim": 32}),
    Architecture("Qwen 3 MoE", "qwen3_moe", DECODER | EXPERTS | {"head_dim": 32}),
    Architecture("DeepSeek V2", "deepseek_v2", NO_GROUPS | DEEPSEEK_V2),
    Architecture("DeepSeek V3, R1", "deepseek_v3", NO_GROUPS | DEEPSEEK_V3),
    Architecture("Mistral", "mistral"),
    Architecture("Mixtral", "mixtral", DECODER | {"num_local_experts": 8}),
    Architecture("Gemma", "gemma", DECODER | {"head_dim": 16}),
    Architecture("Gemma 2", "gemma2", DECODER | {"head_dim": 16}),
    Architecture("Gemma 3", "gemma3_text", DECODER | {"head_dim": 16}),
    Architecture("Phi 2", "phi", NO_GROUPS),
    Architecture(
        "Phi 3 and 4", "phi3", DECODER | {"original_max_position_embeddings": CONTEXT_TOKENS}
    ),
    Architecture("GLM 4 (0414)", "glm4", DECODER | {"head_dim": 16}),
    Architecture("GLM 4 (9B)", "glm", DECODER | {"head_dim": 16}),
    Architecture("SmolLM 3", "smollm3"),
    Architecture("OLMo 2", "olmo2"),
    Architecture("Granite 3", "granite"),
    Architecture("StableLM", "stablelm"),
    Architecture("Falcon", "falcon", NO_GROUPS | {"ffn_hidden_size": 128}),
    Architecture("GPT-NeoX, Pythia", "gpt_neox"),
    Architecture("Cohere Command R", "cohere"),
    Architecture("Cohere Command R7B", "cohere2"),
    Architecture("StarCoder 2", "starcoder2"),
    Architecture("GPT-2", "gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    Architecture("gpt-oss", "gpt_oss", DECODER | {"head_dim": 16, "num_local_experts": 8}),
    Architecture("EXAONE 4", "exaone4"),
    Architecture("ERNIE 4.5", "ernie4_5", DECODER | {"head_dim": 16}),
    Architecture("Mamba", "mamba", {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}),
    Architecture("InternLM 2 (code in the repository)", "internlm2"),
)


def make(architecture: Architecture, folder: Path) -> Path:
    """Write a Hugging Face folder; imports torch.

    Returns:
        `folder`, made if it is not there.
    """
    if architecture.model_type == "internlm2":
        return _make_with_code(folder)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    vocabulary = write_tiny_tokenizer(folder, CONTEXT_TOKENS)
    own = {**architecture.config, **TOKEN_IDS, "vocab_size": vocabulary}
    own.pop("architectures", None)
    own.pop("model_type", None)
    config = AutoConfig.for_model(architecture.model_type, **own)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    return folder


def _make_with_code(folder: Path) -> Path:
    """A repository whose model is code of its own, as the hub has many."""
    make_tiny_llama(folder)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | {
        "model_type": "internlm2",
        "architectures": ["InternLM2ForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM"},
    }
    file.write_text(json.dumps(config), encoding="utf-8")
    (folder / CODE_FILE).write_text("class InternLM2ForCausalLM: ...\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    wanted = next(it for it in ARCHITECTURES if it.model_type == sys.argv[1])
    make(wanted, Path(sys.argv[2]))
