"""One example of each body and each answer; tests hold them to their shapes."""

from typing import Any

AT = 1764000000
MODEL = "wordnet"
VERSION = "mv-5d1c0e"
BASE = "mv-0a77f2"
FILE = "file-91c3d8"
DATASET = "ds-7be014"
JOB = "job-3f2a9b"
TUNING = "ftjob-c81e5d"
DIGEST = "sha256:4c1f"
ASYNCAPI = {
    "asyncapi": "3.0.0",
    "info": {"title": "Modelmill: facts about jobs and models", "version": "1"},
    "channels": {"model.ready": {"address": "model.ready"}},
}
QUESTION = {"role": "user", "content": "espresso: strong black coffee"}
USAGE = {"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23}

CHAT = {"model": MODEL, "messages": [QUESTION], "max_tokens": 16, "temperature": 0}
CHAT_ANSWER = {
    "id": "chatcmpl-0b8f",
    "object": "chat.completion",
    "created": AT,
    "model": MODEL,
    "system_fingerprint": VERSION,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "beverage", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
COMPLETION = {"model": MODEL, "prompt": ["espresso is a", "oak is a"], "max_tokens": 4}
COMPLETION_ANSWER = {
    "id": "cmpl-0b8f",
    "object": "text_completion",
    "created": AT,
    "model": MODEL,
    "system_fingerprint": VERSION,
    "choices": [
        {"text": " strong coffee", "index": 0, "logprobs": None, "finish_reason": "length"},
        {"text": " tree", "index": 1, "logprobs": None, "finish_reason": "stop"},
    ],
    "usage": USAGE,
}
EMBEDDING_ANSWER = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]},
        {"object": "embedding", "index": 1, "embedding": [-0.8, 0.6]},
    ],
    "model": MODEL,
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}
CAPABILITIES = {
    **{"logprobs": True, "top_logprobs": 0, "response_format": True},
    **{"tools": False, "required_tools": True, "embeddings": True, "scores": True, "exact": True},
}
MODEL_VERSION = {
    "id": VERSION,
    "object": "model",
    "created": AT,
    "owned_by": "acme",
    "name": MODEL,
    "form": "openvino-int8",
    "parent_version_id": "mv-77aa01",
    "base_version_id": BASE,
    "job_id": JOB,
    "dataset_id": DATASET,
    "digest": DIGEST,
    "size_bytes": 137000000,
    "context_tokens": 2048,
    "metrics": {"accuracy": 0.71, "speedup": 1.62, "speedup_low": 1.4, "speedup_high": 1.8},
    "serving_version_id": VERSION,
    "slower_than_source": False,
    "capabilities": CAPABILITIES,
    "loading": None,
}
MODEL_ALIAS = {
    "id": MODEL,
    "object": "model",
    "created": AT,
    "owned_by": "acme",
    "version_id": VERSION,
    "capabilities": CAPABILITIES,
    "loading": {"elapsed_seconds": 4.2, "remaining_seconds": 7.5},
}
ALIAS = {
    "id": MODEL,
    "object": "alias",
    "name": MODEL,
    "version_id": VERSION,
    "owned_by": "acme",
    "moved_by": "ada",
    "moved_at": AT,
}
FILE_ANSWER = {
    "id": FILE,
    "object": "file",
    "bytes": 20480,
    "created_at": AT,
    "filename": "rows.jsonl",
    "purpose": "fine-tune",
    "status": "processed",
    "digest": DIGEST,
}
DATASET_BODY = {
    "file_id": FILE,
    "name": "kinds",
    "mapping": {
        "system_template": "Name the kind of thing.",
        "user_template": "{word}: {gloss}",
        "answer_template": "{kind}",
    },
    "shares": {"train": 0.8, "valid": 0.1, "test": 0.1},
}
ACCEPTED_DATASET = {"id": DATASET, "object": "dataset", "status": "queued", "job_id": JOB}
DATASET_ANSWER = {
    "id": DATASET,
    "object": "dataset",
    "status": "ready",
    "name": "kinds",
    "file_id": FILE,
    "job_id": JOB,
    "digest": DIGEST,
    "counts": {"rows_in": 900, "rows_kept": 880, "train": 704, "valid": 88, "test": 88},
    "created_at": AT,
    "error": None,
}
EXPLAINED_ROW = {
    "object": "dataset.row",
    "dataset_id": DATASET,
    "stories": [
        {
            "line": 17,
            "source_sha256": "9f" * 32,
            "outcome": "kept",
            "rule": None,
            "detail": None,
            "changes": ["spaces@1"],
            "made_by": None,
            "split": "train",
            "position": 12,
            "row": {
                "messages": [
                    {"role": "user", "content": "espresso: strong black coffee"},
                    {"role": "assistant", "content": "food"},
                ],
                "row": 17,
                "source": "9f" * 32,
                "changes": ["spaces@1"],
            },
        }
    ],
}
DATASET_DIFF = {
    "object": "dataset.diff",
    "same": False,
    "rows_common": 860,
    "rows_moved": 3,
    "rows_removed": 20,
    "rows_added": 5,
    "removed": [],
    "added": [],
    "spec_changes": ["duplicates.near_threshold: nothing -> 0.8"],
}
FINE_TUNING_BODY = {
    "model": "smollm2-135m",
    "training_file": DATASET,
    "suffix": "kinds",
    "hyperparameters": {"n_epochs": 2, "learning_rate": 0.0003, "lora_rank": 16},
}
PROGRESS: dict[str, Any] = {
    "phase": "train",
    "done": 12,
    "total": 44,
    "unit": "step",
    "metrics": {"loss": 1.31},
    "eta_seconds": 95.5,
    "at": AT,
}
ORDER_AND_TURN: dict[str, Any] = {
    "requested_by": "ada",
    "spec_sha256": "9f2c41d07a",
    "priority": "normal",
    "queue_position": None,
    "estimated_start": None,
    "waiting_reason": None,
    "cost": {"work_seconds": 41.5, "attempts": 1, "trained_tokens": None},
}
HYPER_PARAMETERS = {
    "n_epochs": 2,
    "batch_size": "auto",
    "learning_rate_multiplier": "auto",
    "learning_rate": 0.0003,
    "lora_rank": 16,
}
FINE_TUNING_JOB = {
    "id": TUNING,
    "object": "fine_tuning.job",
    "created_at": AT,
    "finished_at": None,
    "status": "running",
    "model": BASE,
    "fine_tuned_model": None,
    "organization_id": "acme",
    "training_file": DATASET,
    **{"validation_file": None, "result_files": []},
    "seed": 0,
    "trained_tokens": None,
    "hyperparameters": HYPER_PARAMETERS,
    "method": {"type": "supervised", "supervised": {"hyperparameters": HYPER_PARAMETERS}},
    "user_provided_suffix": "kinds",
    **{"integrations": [], "metadata": None},
    "estimated_finish": AT + 95,
    **ORDER_AND_TURN,
    "error": None,
    "progress": PROGRESS,
    "result": None,
    "desired_state": "run",
    "training_method": "lora",
    "method_reason": None,
    "objective": "answers",
    **{"teacher": None, "teacher_answers": None},
}
OPTIMIZATION_BODY = {"model": "kinds", "target_form": "openvino-int8", "dataset_id": DATASET}
JOB_ANSWER: dict[str, Any] = {
    "id": JOB,
    "object": "job",
    "kind": "optimize",
    "status": "running",
    "desired_state": "run",
    "created_at": AT,
    "started_at": AT,
    "finished_at": None,
    **ORDER_AND_TURN,
    "attempt": 1,
    "failures": 0,
    "lost": 0,
    "preemptions": 0,
    "checkpoint_step": None,
    "progress": PROGRESS,
    "spec": {"source_version_id": "mv-77aa01", "target_form": "openvino-int8"},
    "result": None,
    "error": None,
}
OPTIMIZATION = {
    **JOB_ANSWER,
    "object": "optimization",
    "source_version_id": "mv-77aa01",
    "target_form": "openvino-int8",
    "version_id": None,
}


def job_event(kind: str) -> dict[str, Any]:
    """One event."""
    return {
        "id": "event-Zk3v9Q",
        "object": kind,
        "created_at": AT,
        "level": "info",
        "message": "train step 12/44: loss=1.31",
        "type": "metrics",
        "data": {
            "phase": "train",
            "step": 12,
            "total_steps": 44,
            "unit": "step",
            "eta_seconds": 41.5,
            "loss": 1.31,
        },
    }


def page(item: dict[str, Any]) -> dict[str, Any]:
    """A page of one."""
    return {
        "object": "list",
        "data": [item],
        "has_more": False,
        "first_id": item["id"],
        "last_id": item["id"],
    }


def deleted(kind: str, deleted_id: str) -> dict[str, Any]:
    """That it is deleted."""
    return {"id": deleted_id, "object": kind, "deleted": True}
