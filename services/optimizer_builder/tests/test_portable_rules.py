"""What forms to export refuse, and the vocabularies that GGUF has a name for."""

import json
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.errors import JobFailed
from modelmill_optimizer_builder.build_model import refuse_architecture
from modelmill_optimizer_builder.domain.forms import FORMS, form_named
from modelmill_optimizer_builder.domain.gguf_models import hyper_parameters
from modelmill_optimizer_builder.domain.gguf_vocabulary import (
    CONTROL,
    UNUSED,
    NoGgufVocabularyError,
    Vocabulary,
    vocabulary_of,
)
from modelmill_testkit.models import make_tiny_deepseek, make_tiny_llama
from modelmill_testkit.service_process import modules_loaded_by

GGUF = [name for name in FORMS if name.startswith("gguf-")]
PACKED = [name for name in FORMS if name.startswith("compressed-tensors-")]
LLAMA = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128}
LLAMA_3_ROPE = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}
BIG = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
REST = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


def tokenizer(base: Path, **changes: Any) -> dict[str, Any]:
    made = make_tiny_llama(base / "llama") / "tokenizer.json"
    document: dict[str, Any] = json.loads(made.read_text())
    return document | changes


def split(regex: str) -> dict[str, Any]:
    cut = {"pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [{"type": "Split"} | cut, REST]}


def read(document: dict[str, Any], size: int = 400) -> Vocabulary:
    return vocabulary_of(document, {"eos_token": "<|im_end|>"}, "{{ messages }}", size)


@pytest.mark.parametrize("form", [*GGUF, *PACKED])
def test_a_mixture_of_experts_is_refused_by_name_before_any_work(tmp_path: Path, form: str) -> None:
    mixture = make_tiny_deepseek(tmp_path / "mixture")

    with pytest.raises(JobFailed) as caught:
        refuse_architecture(form, mixture)

    assert caught.value.code == "UNSUPPORTED_ARCHITECTURE"
    assert "deepseek_v3" in caught.value.message
    refuse_architecture(form, make_tiny_llama(tmp_path / "llama"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "gemma3_text"}, "llama, qwen2, qwen3 alone"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "'yarn'"),
        ({"model_type": "qwen2", "rope_parameters": LLAMA_3_ROPE}, "'llama3'"),
        ({"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 32}, "window"),
        ({"hidden_act": "gelu"}, "'gelu'"),
        ({"partial_rotary_factor": 0.5}, "a part of each head"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(changes: dict[str, Any], said: str) -> None:
    assert said in form_named("gguf-q8_0").refusal(LLAMA | changes)


def test_rotary_positions_of_llama_3_are_written_and_unused_windows_do_not_matter() -> None:
    for changes in ({"rope_parameters": LLAMA_3_ROPE}, {"sliding_window": None}):
        assert form_named("gguf-q8_0").refusal(LLAMA | changes) == ""
    unused = {"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 32}
    assert form_named("gguf-q8_0").refusal(LLAMA | unused) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"intermediate_size": 130}, "intermediate size 130"),
        ({"hidden_size": 72, "intermediate_size": 64}, "hidden size 72"),
        ({"num_attention_heads": 3, "head_dim": 16}, "width of all heads 48"),
        ({"text_config": {"hidden_size": 64}}, "more than text"),
    ],
)
def test_a_width_that_has_no_whole_groups_is_refused_with_the_width(
    changes: dict[str, Any], said: str
) -> None:
    assert said in form_named("compressed-tensors-int4").refusal(LLAMA | changes)


def test_a_header_says_rotary_scaling_in_both_spellings_of_a_config() -> None:
    shared = LLAMA | {
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "vocab_size": 400,
    }
    old = {"rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    new = {"rope_parameters": {"rope_theta": 5000.0, "rope_type": "linear", "factor": 2.0}}

    said = hyper_parameters(shared | old)

    assert said == hyper_parameters(shared | new)
    assert said["llama.rope.freq_base"] == 5000.0
    assert said["llama.rope.scaling.factor"] == 2.0
    assert said["llama.attention.key_length"] == 16
    assert said["llama.attention.head_count_kv"] == 4


def test_a_vocabulary_is_as_long_as_the_embedding_and_knows_its_special_tokens(
    tmp_path: Path,
) -> None:
    found = read(tokenizer(tmp_path), 400)

    assert (len(found.tokens), len(found.types)) == (400, 400)
    assert found.tokens[2] == "<|im_end|>"
    assert found.types[2] == CONTROL
    assert found.types[399] == UNUSED
    assert found.special == {"eos": 2}
    assert not found.adds_bos
    assert all(" " in merge for merge in found.merges)


@pytest.mark.parametrize(
    ("cuts", "name"),
    [
        (BYTES, "gpt-2"),
        (
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES],
            },
            "smollm",
        ),
        (split(BIG), "qwen2"),
    ],
)
def test_known_ways_to_cut_a_text_have_llama_cpps_names(
    tmp_path: Path, cuts: dict[str, Any], name: str
) -> None:
    assert read(tokenizer(tmp_path, pre_tokenizer=cuts)).pre == name


def test_llama_3_is_known_by_its_numbers_and_takes_whole_tokens_without_merges(
    tmp_path: Path,
) -> None:
    document = tokenizer(tmp_path, pre_tokenizer=split(BIG.replace(r"|\p{N}|", r"|\p{N}{1,3}|")))

    with pytest.raises(NoGgufVocabularyError, match="merges otherwise"):
        read(document)

    document["model"]["ignore_merges"] = True
    assert read(document).pre == "llama-bpe"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pre_tokenizer": split(r"\w+")}, "cuts texts in a way"),
        ({"pre_tokenizer": BYTES | {"add_prefix_space": True}}, "cuts texts in a way"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"model": {"type": "Unigram", "vocab": []}}, "Unigram"),
        ({"model": {"type": "BPE", "byte_fallback": True}}, "bytes as a fallback"),
        ({"pre_tokenizer": 7}, "another shape"),
    ],
)
def test_a_tokenizer_that_gguf_cannot_say_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(NoGgufVocabularyError, match=said):
        read(tokenizer(tmp_path, **changes))


def test_more_tokens_than_rows_of_the_embedding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoGgufVocabularyError, match="more tokens than"):
        read(tokenizer(tmp_path), 10)


def test_a_beginning_of_text_that_the_tokenizer_adds_is_said(tmp_path: Path) -> None:
    first = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
    template = {"type": "TemplateProcessing", "single": [first, {"Sequence": {"id": "A"}}]}
    document = tokenizer(
        tmp_path, post_processor={"type": "Sequence", "processors": [REST, template]}
    )

    found = vocabulary_of(document, {"bos_token": "<|im_start|>"}, "", 400)

    assert found.adds_bos
    assert found.special == {"bos": 1}


async def test_the_process_that_runs_llama_cpp_loads_no_torch_to_begin_with() -> None:
    loaded = await modules_loaded_by("modelmill_optimizer_builder.adapters.llama_cpp")

    assert loaded >= {"modelmill_optimizer_builder"}
    assert not loaded & {"torch", "transformers", "peft"}
