"""Child of test_building: computes with torch, PEFT, NNCF and OpenVINO, and prints the results.

python compare_engines.py BASE ADAPTER BUILD SCRATCH ROWS
"""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import nncf  # noqa: E402
import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
import openvino_genai  # noqa: E402
import torch  # noqa: E402
from modelmill_evaluation.choices import ChoiceQuestion, choice_questions  # noqa: E402
from modelmill_optimizer_builder.adapters import openvino_scorer  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_export import (  # noqa: E402
    MODEL_FILE,
    export_bf16,
)
from modelmill_optimizer_builder.adapters.openvino_int8 import quantise_weights  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_parity import EXACT  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402


def merge_facts(base: Path, adapter: Path, prompt: Sequence[int]) -> dict[str, float]:
    """Logit differences: merged model to base plus adapter, and these to the base alone."""
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        alone = plain(ids).logits[0, -1].clone()
        tuned = PeftModel.from_pretrained(plain, adapter)(ids).logits[0, -1]
    _, (merged,) = MergedModel.load(base, adapter).greedy_logits(prompt, 1)
    return {
        "merged_difference": float(np.abs(merged - tuned.numpy()).max()),
        "adapter_difference": float((tuned - alone).abs().max()),
    }


def naive_scores(module: Any, question: ChoiceQuestion) -> list[float]:
    """One forward pass over prompt and choice for each choice; no cache, no batch."""
    scores = []
    for choice in question.choices:
        ids = [*question.prompt_ids, *choice]
        with torch.inference_mode():
            logs = module(torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len(question.prompt_ids)
        scores.append(sum(float(logs[at - 1, ids[at]]) for at in range(start, len(ids))))
    return scores


def scorer_facts(module: Any, path: Path, questions: Sequence[ChoiceQuestion]) -> dict[str, Any]:
    """Scores of the OpenVINO scorer and of the naive one."""
    expected = [naive_scores(module, question) for question in questions]
    got = list(openvino_scorer.OpenVinoScorer(path, EXACT).scores(questions))
    finished = unfinished = 0
    worst, bounds_hold = 0.0, True
    for wanted, scores in zip(expected, got, strict=True):
        for want, score in zip(wanted, scores, strict=True):
            if abs(want - score) < 0.01:
                finished += 1
                worst = max(worst, abs(want - score))
            else:
                unfinished += 1
                bounds_hold &= want <= score < max(scores)
    return {
        "worst_score_difference": worst,
        "scores_finished": finished,
        "scores_bounded": unfinished,
        "bounds_hold": bounds_hold,
        "same_winners": [int(np.argmax(s)) for s in got] == [int(np.argmax(s)) for s in expected],
    }


def quantisation_facts(reference: Path, scratch: Path) -> dict[str, Any]:
    """Our int8 weights compared with NNCF's, by the logits of both models."""
    ours, theirs = scratch / "ours.xml", scratch / "nncf.xml"
    quantise_weights(reference, ours)
    model = ov.Core().read_model(reference)
    mode = nncf.CompressWeightsMode.INT8_SYM
    ov.save_model(nncf.compress_weights(model, mode=mode), theirs, compress_to_fp16=False)
    return {
        "int8_constants": [int8_weights(ours), int8_weights(theirs)],
        "same_int8_share": same_share(ours, theirs),
        "options": str(
            ov.Core().compile_model(ours, "CPU").get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")
        ),
    }


def constants(path: Path) -> dict[str, Any]:
    nodes = ov.Core().read_model(path).get_ops()
    found = [node for node in nodes if node.get_type_name() == "Constant"]
    return {
        node.get_friendly_name(): node.get_data()
        for node in found
        if node.get_element_type() == ov.Type.i8 and len(node.shape) == 2
    }


def int8_weights(path: Path) -> int:
    return len(constants(path))


def same_share(ours: Path, theirs: Path) -> float:
    """Share of int8 weights that are equal."""
    mine, other = constants(ours), constants(theirs)
    return float(np.mean([np.mean(mine[name] == other[name]) for name in mine]))


def engine_facts(build: Path, prompt: Sequence[int]) -> dict[str, Any]:
    """Output of the serving engine for a finished build."""
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(build), openvino_genai.SchedulerConfig(), "CPU", {}
    )
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.do_sample = 8, True, False
    (by_ids,) = pipeline.generate([ov.Tensor(np.array([list(prompt)]))], [config])
    (by_text,) = pipeline.generate(["Name the kind of thing."], [config])
    return {
        "generated_tokens": len(by_ids.m_generation_ids[0]),
        "generated_text": bool(by_text.m_generation_ids[0]),
    }


def main(base: Path, adapter: Path, build: Path, scratch: Path, rows: Path) -> dict[str, Any]:
    tokenizer = ChatTokenizer.load(base)
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    choices = sorted({line["messages"][-1]["content"] for line in lines})
    questions = choice_questions(lines[:12], choices, tokenizer)
    prompt = questions[0].prompt_ids
    facts: dict[str, Any] = merge_facts(base, adapter, prompt)
    merged = MergedModel.load(base, adapter)
    export_bf16(merged, scratch)
    reference = scratch / MODEL_FILE
    merged = MergedModel.load(base, adapter)
    facts |= scorer_facts(merged.module.float(), reference, questions)
    # One row at a time must give the same as all of them together.
    scores = []
    for tokens in (1, 10_000):
        openvino_scorer.BLOCK_TOKENS = tokens
        scores.append(list(openvino_scorer.OpenVinoScorer(reference, EXACT).scores(questions)))
    facts["block_difference"] = max(
        abs(a - b)
        for first, second in pairwise(scores)
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one, two, strict=True)
    )
    facts |= quantisation_facts(reference, scratch)
    return facts | engine_facts(build, prompt)


if __name__ == "__main__":
    print("\n" + json.dumps(main(*map(Path, sys.argv[1:]))))
