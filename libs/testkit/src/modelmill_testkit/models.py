"""Tiny real models: every layer of a Llama, a byte-level tokenizer, ChatML; random weights."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from modelmill_testkit.kept_folders import kept_for_runs
from modelmill_testkit.tiny_weights import (
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    QWEN_HEAD_DIM,
    TOKEN_IDS,
    deepseek_weights,
    llama_config,
    llama_weights,
    qwen_weights,
    write_bf16,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML as SmolLM2 has it, default system prompt included."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CORPUS = (
    "You are a helpful AI assistant. Name the kind of thing. person animal plant food place.",
    "system user assistant the offspring who came first in the order of birth; of a small animal",
)
_VOCABULARY = 384
_BUILD_SECONDS = 300
_BUILT_WITH = (
    *("openvino", "openvino-tokenizers", "optimum-intel"),
    *("nncf", "transformers", "torch"),
)


def make_tiny_llama(
    folder: Path,
    *,
    context_tokens: int = 512,
    seed: int = 0,
    chat_template: str = CHAT_TEMPLATE,
    special: Sequence[str] = SPECIAL,
) -> Path:
    """Write a Hugging Face folder of a two-layer bf16 Llama; milliseconds, no torch.

    The same arguments give the same bytes. Special tokens have SmolLM2's ids: 0 end of text,
    1 start and 2 end of a turn (eos); others may follow. Texts of any script round-trip.

    Returns:
        `folder`, made if it is not there.
    """
    vocabulary = write_tiny_tokenizer(folder, context_tokens, chat_template, special)
    _write_json(folder / "config.json", llama_config(vocabulary, context_tokens) | TOKEN_IDS)
    write_bf16(folder / "model.safetensors", llama_weights(vocabulary, seed))
    return folder


def make_tiny_deepseek(
    folder: Path, *, context_tokens: int = 512, seed: int = 0, version: int = 3
) -> Path:
    """The same of a DeepSeek V3 or V2: latent attention, and experts behind a dense first layer."""
    vocabulary = write_tiny_tokenizer(folder, context_tokens)
    own = {3: DEEPSEEK_V3, 2: DEEPSEEK_V2}[version]
    _write_json(folder / "config.json", llama_config(vocabulary, context_tokens) | own | TOKEN_IDS)
    weights = deepseek_weights(vocabulary, seed, is_v3=version == 3)
    write_bf16(folder / "model.safetensors", weights)
    return folder


def make_tiny_qwen(
    folder: Path, *, version: int = 3, tied: bool = True, context_tokens: int = 512, seed: int = 0
) -> Path:
    """The same of a Qwen 3, whose queries and keys are normalised, or a Qwen 2, which adds biases
    to them; the output layer has the embedding's weights or its own."""
    vocabulary = write_tiny_tokenizer(folder, context_tokens)
    config = llama_config(vocabulary, context_tokens) | TOKEN_IDS
    config |= {"tie_word_embeddings": tied, "model_type": f"qwen{version}"}
    config["architectures"] = [f"Qwen{version}ForCausalLM"]
    if version == 3:
        config["head_dim"] = QWEN_HEAD_DIM
    _write_json(folder / "config.json", config)
    weights = qwen_weights(vocabulary, seed, version=version, tied=tied)
    write_bf16(folder / "model.safetensors", weights)
    return folder


def write_tiny_tokenizer(
    folder: Path,
    context_tokens: int,
    chat_template: str = CHAT_TEMPLATE,
    special: Sequence[str] = SPECIAL,
) -> int:
    """Write all of a model's folder but the model itself; gives the size of the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "backend": "tokenizers",
            "bos_token": special[1],
            "eos_token": special[2],
            "model_max_length": context_tokens,
            "pad_token": special[2],
            "tokenizer_class": "TokenizersBackend",
            "unk_token": special[0],
        },
    )
    _write_json(folder / "generation_config.json", TOKEN_IDS)
    return int(tokenizer.get_vocab_size())


def make_tiny_openvino(source: Path, folder: Path, *, bits: int = 8) -> Path:
    """Write the OpenVINO build of a Hugging Face folder, tokenizer models included.

    Args:
        bits: Of its weights: 8, or 4 in groups of 32.

    Runs in a process of its own (about 15 s): the caller imports neither torch nor OpenVINO.

    Returns:
        `folder`, made if it is not there.
    """
    _run_builder("modelmill_testkit._build_tiny_openvino", source, {folder: str(bits)})
    return folder


def make_tiny_onnx(source: Path, folder: Path, *, precision: str = "int8") -> Path:
    """Write the ONNX build of a Hugging Face folder, for ONNX Runtime GenAI.

    Args:
        precision: Of its weights: fp32, int8 or int4.

    Runs in a process of its own, as `make_tiny_openvino` does.

    Returns:
        `folder`, made if it is not there.
    """
    _run_builder("modelmill_testkit._build_tiny_onnx", source, {folder: precision})
    return folder


def _run_builder(module: str, source: Path, builds: Mapping[Path, str]) -> None:
    command = [sys.executable, "-m", module, str(source)]
    for folder, how in builds.items():
        folder.mkdir(parents=True, exist_ok=True)
        command += [str(folder), how]
    built = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS)
    if built.returncode:
        raise RuntimeError(f"{module} failed:\n{built.stderr[-4000:]}")


def kept_tiny_openvino(root: Path, source: Path, *, bits: int = 8) -> Path:
    """The same, kept below `build` of the checkout for all runs until it would become another.

    Both widths are made at once, by one process.

    Returns:
        The folder, to be read and not to be changed.
    """
    module = "modelmill_testkit._build_tiny_openvino"
    kept = kept_for_runs(
        root / "build" / "tests",
        "tiny-openvino",
        lambda folder: _run_builder(module, source, {folder / str(it): str(it) for it in (8, 4)}),
        inputs=[source, Path(__file__).with_name("_build_tiny_openvino.py")],
        packages=_BUILT_WITH,
    )
    return kept / str(bits)


def kept_tiny_onnx(root: Path, source: Path, *, precision: str = "fp32") -> Path:
    """An ONNX build, kept in the same way.

    Returns:
        The folder, to be read and not to be changed.
    """
    return kept_for_runs(
        root / "build" / "tests",
        f"tiny-onnx-{precision}",
        lambda folder: make_tiny_onnx(source, folder, precision=precision),
        inputs=[source, Path(__file__).with_name("_build_tiny_onnx.py")],
        packages=("onnxruntime-genai", "onnxruntime", "onnx-ir", "transformers", "torch"),
    )


def make_other_openvino(build: Path, folder: Path) -> Path:
    """Write a build like `build` that answers otherwise: some weights of each layer reversed.

    Milliseconds, no OpenVINO; tokenizer and shapes stay as they are.

    Returns:
        `folder`, made if it is not there.
    """
    shutil.copytree(build, folder, dirs_exist_ok=True)
    weights = bytearray((folder / "openvino_model.bin").read_bytes())
    for layer in ElementTree.parse(folder / "openvino_model.xml").iter("layer"):
        name, constant = layer.get("name", ""), layer.find("data")
        if layer.get("type") != "Const" or constant is None:
            continue
        if name.endswith(".mlp.up_proj._openvino_orig_weight"):
            start, size = int(constant.get("offset", "")), int(constant.get("size", ""))
            weights[start : start + size] = weights[start : start + size][::-1]
    (folder / "openvino_model.bin").write_bytes(weights)
    return folder


def _tokenizer(special: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=special[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 4, trainer)
    return tokenizer


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
