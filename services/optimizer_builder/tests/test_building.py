"""Building an adapter end to end: the result is small, verified and announced once.

Its numbers equal those of torch, PEFT and NNCF, and a build that is not the same model is refused.
All tests of the shared build are in this file, because another file may run in another process,
which would build it again.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED
from modelmill_registry.default_build import default_build_of, is_lossy
from modelmill_registry.store import FolderStore

from .builders import run_scripts
from .conftest import ROWS, Story

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def computed(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_adapter: Path, story: Story
) -> dict[str, dict[str, Any]]:
    """What a subprocess computes with torch and OpenVINO, by script."""
    built = (tiny_base, tiny_adapter, story.folder)
    rows = story.root / "scratch" / "ds-all" / "test.jsonl"
    return run_scripts(
        {
            "compare_engines.py": (*built, tmp_path_factory.mktemp("engines"), rows),
            "plant_faults.py": (*built, tmp_path_factory.mktemp("faults")),
        }
    )


@pytest.fixture(scope="module")
def engines(computed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Results of torch, PEFT, NNCF and the serving engine."""
    return computed["compare_engines.py"]


@pytest.fixture(scope="module")
def faults(computed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Errors of the checks for the build with one planted fault after another."""
    return computed["plant_faults.py"]


def test_an_adapter_announced_twice_gets_one_default_build(story: Story) -> None:
    default = [request for request in story.requests if request.requested_by != "tester"]

    assert len(default) == 1
    assert default[0].requested_by == "optimizer-builder"
    assert default[0].tenant == story.source.tenant
    assert MessageToDict(default[0].spec) == {
        "source_version_id": story.source.version_id,
        "target_form": "openvino-int8",
        "dataset_id": "ds-all",
        "max_accuracy_loss": 0.02,
    }
    assert len(story.announced_builds) == 1


def test_the_manifest_of_a_build_records_its_sources(story: Story) -> None:
    build = story.build

    assert build.form == "openvino-int8"
    assert build.tenant == "acme"
    assert build.name == story.source.name
    assert build.parent_version_id == story.source.version_id
    assert build.base_version_id == story.source.base_version_id
    assert build.dataset_id == "ds-all"
    assert build.context_tokens == 512
    assert build.size_bytes == story.manifest.size_bytes
    assert story.manifest.made_from["source"] == story.source.digest
    assert sorted(story.manifest.made_from) == ["base", "dataset", "source"]
    assert story.manifest.attributes["context_tokens"] == 512
    assert story.manifest.attributes["measurements"] == dict(build.metrics)


def test_the_manifest_records_the_parity_with_the_source(story: Story) -> None:
    parity = story.manifest.attributes["parity"]
    [built] = parity["forms"]

    assert parity["goldens"] == 5
    assert parity["reference"] == "source, float32", "nobody trained this adapter"
    assert parity["positions"] == built["positions"] > 5
    assert parity["prompt_ids"] == "identical"
    assert 0 < parity["prompts_alike_by_engine"] <= 5
    assert parity["merge"]["dtype"] == "float32"
    assert parity["merge"]["layers_compared"] == 6
    assert built["form"] == "openvino-int8, as served"
    assert 0 < built["root_mean_square_share"] < 0.3
    assert 0 < built["greedy_agreement"] <= 1
    assert story.build.metrics["parity_greedy_agreement"] == built["greedy_agreement"]
    assert story.build.metrics["parity_largest_logit_difference"] == built["largest_difference"] > 0


def test_the_model_card_agrees_with_the_manifest(story: Story) -> None:
    card = (story.folder / "README.md").read_text()

    for digest in story.manifest.made_from.values():
        assert f"`{digest}`" in card
    assert f"{story.build.metrics['parity_greedy_agreement']:.1%}" in card
    assert f"{story.build.metrics['accuracy']:.1%}" in card
    assert "## Not measured" in card
    assert 'base_model: "tiny"' in card
    assert "A build of tiny-tuned" in card


def test_a_source_with_another_chat_template_than_in_training_is_refused(story: Story) -> None:
    error = story.edited.error

    assert story.edited.status == JOB_STATUS_FAILED
    assert error.code == "TEMPLATE_MISMATCH"
    assert "the chat template of the source" in error.message
    assert "trained with" in error.remedy
    assert story.edited.failures == 0, "it was tried again, although nothing would change"
    # The import, the adapter twice, four builds of it, the edited adapter.
    assert story.announced == 8


def test_the_build_has_every_file_that_serving_needs(story: Story) -> None:
    assert {entry.path for entry in story.manifest.files} == {
        "openvino_model.xml",
        "openvino_model.bin",
        "openvino_tokenizer.xml",
        "openvino_tokenizer.bin",
        "openvino_detokenizer.xml",
        "openvino_detokenizer.bin",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "evaluation.json",
        "README.md",
        "parity/goldens.json",
        "parity/logits.safetensors",
    }


def test_reference_and_build_are_scored_on_the_same_rows(story: Story) -> None:
    metrics, evaluation = story.build.metrics, story.evaluation
    before, after = evaluation["bf16"]["correct"], evaluation["int8"]["correct"]

    assert evaluation["rows"] == len(before) == len(after) == ROWS
    assert metrics["test_rows"] == ROWS
    assert metrics["accuracy"] == pytest.approx(sum(after) / ROWS)
    assert metrics["accuracy_source"] == pytest.approx(sum(before) / ROWS)
    assert metrics["accuracy_loss"] == pytest.approx((sum(before) - sum(after)) / ROWS)
    assert metrics["accuracy_loss_low"] <= metrics["accuracy_loss"] <= metrics["accuracy_loss_high"]
    assert evaluation["differences"]["int8-bf16"]["mean"] == pytest.approx(
        -metrics["accuracy_loss"]
    )


def test_the_build_is_compared_with_the_trainers_evaluation(story: Story) -> None:
    assert story.evaluation["tuned"]["correct"] == [True] * ROWS
    assert story.build.metrics["accuracy_tuned"] == 1
    assert story.build.metrics["accuracy_loss_tuned"] == pytest.approx(
        1 - story.build.metrics["accuracy"]
    )


def test_size_and_speed_of_reference_and_build_are_measured(story: Story) -> None:
    metrics = story.build.metrics
    model = sum(e.size for e in story.manifest.files if e.path.startswith("openvino_model."))

    assert metrics["bytes"] == model
    assert metrics["size_ratio"] == pytest.approx(metrics["bytes"] / metrics["bytes_bf16"])
    assert metrics["tokens_per_second"] > 0
    assert metrics["tokens_per_second_bf16"] > 0
    assert metrics["speedup"] == pytest.approx(
        metrics["tokens_per_second"] / metrics["tokens_per_second_bf16"]
    )


def test_an_int4_build_that_loses_too_much_is_stored_and_marked(story: Story) -> None:
    metrics = dict(story.int4.metrics)

    assert story.int4.form == story.int4_manifest.form == "openvino-int4"
    assert story.int4.parent_version_id == story.source.version_id
    assert metrics["accuracy_source"] == 1
    assert metrics["accuracy_loss"] > metrics["accuracy_loss_allowed"] == 0.02
    assert metrics["accuracy_loss_low"] <= metrics["accuracy_loss"] <= metrics["accuracy_loss_high"]
    assert is_lossy(story.int4)
    assert not is_lossy(story.build)
    assert "## Loses more than allowed" in (story.int4_folder / "README.md").read_text()


def test_a_form_to_export_is_scored_and_not_timed(story: Story) -> None:
    metrics = dict(story.gguf.metrics)

    assert story.gguf.form == story.gguf_manifest.form == "gguf-q8_0"
    assert story.gguf.parent_version_id == story.source.version_id
    assert metrics["accuracy_source"] > 0.9
    assert metrics["accuracy_loss"] < 0.1
    assert metrics["accuracy_loss_allowed"] == 0.02
    assert metrics["parity_greedy_agreement"] > 0.7
    assert 0.5 < metrics["size_ratio"] < 1
    assert not [name for name in metrics if "second" in name or "speed" in name]


def test_the_manifest_of_a_form_to_export_has_all_files_and_says_how_near_its_weights_are(
    story: Story,
) -> None:
    files = {entry.path for entry in story.gguf_manifest.files}
    parity, method = (story.gguf_manifest.attributes[name] for name in ("parity", "method"))

    assert {"model.gguf", "Modelfile", "README.md", "tokenizer.json", "config.json"} < files
    assert parity["weights"]["tensors"] == 20
    assert 0 < parity["weights"]["largest_error"] < 0.02
    assert parity["prompt_ids"] == "identical"
    assert method["form"] == "gguf-q8_0"
    assert method["tokenizer"] == "gpt2, cut as smollm"


def test_the_manifest_of_an_int4_build_says_how_it_was_made(story: Story) -> None:
    method = story.int4_manifest.attributes["method"]
    calibration = method["calibration"]

    assert method["form"] == "openvino-int4"
    assert (method["group_size"], method["ratio"]) == (32, 0.8)
    assert "20% of the layers int8" in method["weights"]
    assert "NNCF" in method["scales"]
    assert len(method["candidates"]) > 1
    # Of 40 training rows all are calibrated on, and there is no valid split.
    assert method["judged_by"]["rows"] == 0 < method["judged_by"]["general_texts"]
    assert calibration["digest"].startswith("sha256:")
    assert calibration["training_rows"] == 40
    assert 0 < calibration["samples_of_training_rows"] < calibration["samples"]
    assert sorted(story.int4_manifest.made_from) == ["base", "dataset", "source"]
    [built] = story.int4_manifest.attributes["parity"]["forms"]
    assert built["form"] == "openvino-int4, as served"
    assert story.int4_manifest.attributes["parity"]["prompt_ids"] == "identical"


def test_an_int4_build_has_the_files_of_an_int8_build_and_smaller_weights(story: Story) -> None:
    int4 = {entry.path: entry.size for entry in story.int4_manifest.files}
    int8 = {entry.path: entry.size for entry in story.manifest.files}

    assert set(int4) == set(int8)
    assert int4["openvino_model.bin"] < 0.85 * int8["openvino_model.bin"]


def test_the_service_loads_no_torch_answers_health_and_stops_cleanly(
    story: Story,
) -> None:
    assert story.was_healthy
    assert story.exit_status == 0
    for library in ("libtorch", "libopenvino", "tokenizers.abi3"):
        assert library not in story.parent_libraries
    assert list((story.root / "work" / "jobs").glob("*/*/*")) == []


def test_the_merged_model_equals_base_plus_adapter(engines: dict[str, Any]) -> None:
    assert engines["adapter_difference"] > 1
    assert engines["merged_difference"] < 0.05, "more than rounding weights to bf16 explains"


def test_the_scorer_equals_one_forward_pass_per_choice(
    engines: dict[str, Any],
) -> None:
    assert engines["same_winners"]
    assert engines["worst_score_difference"] < 0.001
    assert engines["scores_finished"] >= 12


def test_a_dropped_choice_gets_an_upper_bound_that_cannot_win(
    engines: dict[str, Any],
) -> None:
    assert engines["bounds_hold"]


def test_rows_of_a_batch_do_not_change_each_others_scores(engines: dict[str, Any]) -> None:
    assert engines["block_difference"] < 0.001


def test_the_weights_equal_those_of_nncf(engines: dict[str, Any]) -> None:
    ours, theirs = engines["int8_constants"]

    assert ours == theirs == 15
    assert engines["same_int8_share"] == 1


def test_the_ir_has_the_runtime_options_it_was_measured_with(engines: dict[str, Any]) -> None:
    assert engines["options"] == str(2**31 - 1)


def test_the_serving_engine_loads_the_build_and_generates(engines: dict[str, Any]) -> None:
    assert engines["generated_tokens"] == 8
    assert engines["generated_text"]


def test_an_unchanged_build_passes_the_checks(faults: dict[str, Any]) -> None:
    assert faults["honest build"] == ["fine", ""]


@pytest.mark.parametrize("planted", ["with_other_template", "with_template_of_other_tools"])
def test_another_chat_template_is_a_template_mismatch(faults: dict[str, Any], planted: str) -> None:
    code, message = faults[planted]

    assert code == "TEMPLATE_MISMATCH"
    assert "openvino-int8" in message


@pytest.mark.parametrize(
    ("planted", "reader"),
    [
        ("without_end_of_turn", "openvino-int8 reads"),
        ("without_it_in_the_engine", "the engine's tokenizer of openvino-int8 reads"),
    ],
)
def test_a_split_special_token_is_reported_as_missing(
    faults: dict[str, Any], planted: str, reader: str
) -> None:
    code, message = faults[planted]

    assert code == "SPECIAL_TOKEN_MISSING"
    assert message.startswith(f"{reader} the special token '<|im_end|>'")


def test_changed_weights_are_reported_as_different_logits(faults: dict[str, Any]) -> None:
    code, _ = faults["other weights"]

    assert code in ("LOGITS_DIFFER", "GREEDY_DISAGREES")


def test_a_merge_equals_the_trained_model_before_rounding_and_is_close_after(
    faults: dict[str, Any],
) -> None:
    exact, rounded = faults["merged"]["forms"]

    assert faults["merged"]["reference"] == "training, float32"
    assert exact["form"] == "merged, float32"
    assert exact["largest_share"] < 0.0001
    assert rounded["form"] == "merged, bfloat16 weights"
    assert exact["largest_share"] < rounded["largest_share"] < 1


def test_an_adapter_merged_at_another_scale_is_reported_as_different_logits(
    faults: dict[str, Any],
) -> None:
    code, message = faults["other scale"]

    assert code == "LOGITS_DIFFER"
    assert message.startswith("the logits of merged, float32 differ")


def test_a_merge_in_float32_passes(faults: dict[str, Any]) -> None:
    layers, share = faults["honest merge"]

    assert layers == 6
    assert share < 0.0001


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_merge_in_another_dtype_is_refused_with_the_dtype(
    faults: dict[str, Any], dtype: str
) -> None:
    code, message = faults[f"merge in torch.{dtype}"]

    assert code == "MERGE_DTYPE"
    assert f"a merge in {dtype} gives them" in message


def test_a_pruned_version_is_ready_to_be_trained_and_nothing_is_built_of_it_unasked(
    story: Story,
) -> None:
    pruned, store = story.pruned, FolderStore(story.root / "artifacts")
    folder = store.materialise(pruned.digest)
    config = json.loads((folder / "config.json").read_text())
    card = (folder / "README.md").read_text()

    assert "# tiny-tuned-pruned\n\nA pruned model, to be trained further, made from tiny" in card
    assert (pruned.form, pruned.method) == ("safetensors", "pruned")
    assert pruned.name == "tiny-tuned-pruned"
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (2, 1)
    assert pruned.metrics["size_ratio"] < 1
    assert pruned.metrics["accuracy_loss_allowed"] == 0.02
    assert {"accuracy_loss", "general_perplexity_loss"} <= set(pruned.metrics)
    assert default_build_of(pruned) is None
    asked = [request.spec["source_version_id"] for request in story.requests]
    assert pruned.version_id not in asked
