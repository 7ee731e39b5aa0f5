"""Every field that OpenAI documents for a route that we have, and what becomes of it here.

The names come from the installed SDK: a release with a new field fails a test until it stands here.
"""

from dataclasses import dataclass, field
from typing import Any, get_type_hints

from openai.types import (
    batch_create_params,
    batch_list_params,
    completion_create_params,
    embedding_create_params,
    eval_create_params,
    eval_list_params,
    eval_update_params,
    file_create_params,
    file_list_params,
    moderation_create_params,
    upload_complete_params,
    upload_create_params,
)
from openai.types.chat import ChatCompletionStreamOptionsParam
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.evals import run_create_params, run_list_params
from openai.types.evals.runs import output_item_list_params
from openai.types.fine_tuning import job_create_params, job_list_events_params, job_list_params
from openai.types.fine_tuning.jobs import checkpoint_list_params
from openai.types.responses import response_create_params
from openai.types.uploads import part_create_params

QUESTION = {"role": "user", "content": "hello"}
FUNCTION = {"name": "weather", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}


@dataclass(frozen=True)
class Fields:
    """The fields of a route, each with an example: `served` ones have an effect, `refused` ones are
    named in a 4xx, `ignored` ones change nothing in any answer here."""

    documented: type
    path: str
    least: dict[str, Any]
    """A body with what must be there."""
    served: dict[str, Any]
    refused: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, Any] = field(default_factory=dict)

    @property
    def unknown(self) -> set[str]:
        """Fields that are documented or decided, but not both."""
        decided = {*self.served, *self.refused, *self.ignored}
        return decided ^ get_type_hints(self.documented).keys()


SAMPLING = {"temperature": 0.5, "top_p": 0.5, "stream": True}
NAMELESS = {"user": "u"}
"""What says who asks: only the variant of an alias that is shared out depends on it."""
CACHED = {
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
}
PENALTIES = {"presence_penalty": 1.0, "frequency_penalty": 1.0}

BODIES = {
    "chat": Fields(
        chat_create_params.CompletionCreateParamsNonStreaming,
        "/v1/chat/completions",
        {"model": "default", "messages": [QUESTION]},
        served={
            "model": "default",
            "messages": [QUESTION, QUESTION],
            **SAMPLING,
            **PENALTIES,
            "max_tokens": 5,
            "max_completion_tokens": 5,
            "n": 2,
            "seed": 5,
            "stop": ["x"],
            "logprobs": True,
            "top_logprobs": 0,
            "response_format": {"type": "json_object"},
            "tools": [TOOL],
            "tool_choice": "none",
            "moderation": {"model": "any"},
            "stream_options": None,
        },
        refused={
            "audio": {"voice": "alloy", "format": "wav"},
            "function_call": {"name": "weather"},
            "functions": [FUNCTION],
            "logit_bias": {"7": 1},
            "modalities": ["text", "audio"],
            "reasoning_effort": "low",
            "store": True,
            "verbosity": "low",
            "web_search_options": {},
        },
        ignored={
            **NAMELESS,
            **CACHED,
            "metadata": {"a": "b"},
            "parallel_tool_calls": False,
            "prediction": {"type": "content", "content": "a"},
            "service_tier": "flex",
        },
    ),
    "completions": Fields(
        completion_create_params.CompletionCreateParamsNonStreaming,
        "/v1/completions",
        {"model": "default", "prompt": "hello"},
        served={
            "model": "default",
            "prompt": ["a", "b"],
            **SAMPLING,
            **PENALTIES,
            "max_tokens": 5,
            "n": 2,
            "seed": 5,
            "stop": ["x"],
            "logprobs": 2,
            "echo": True,
            "stream_options": None,
        },
        refused={"best_of": 2, "logit_bias": {"7": 1}, "suffix": "end"},
        ignored=NAMELESS,
    ),
    "embeddings": Fields(
        embedding_create_params.EmbeddingCreateParams,
        "/v1/embeddings",
        {"model": "default", "input": "hello"},
        served={"model": "default", "input": ["a", "b"], "encoding_format": "base64"},
        refused={"dimensions": 8},
        ignored=NAMELESS,
    ),
    "moderations": Fields(
        moderation_create_params.ModerationCreateParams,
        "/v1/moderations",
        {"input": "hello"},
        served={"input": ["a", "b"]},
        ignored={"model": "omni-moderation-latest"},
    ),
    "responses": Fields(
        response_create_params.ResponseCreateParamsNonStreaming,
        "/v1/responses",
        {"model": "default", "input": "hello"},
        served={
            "model": "default",
            "input": [QUESTION],
            **SAMPLING,
            "instructions": "be brief",
            "include": ["message.output_text.logprobs"],
            "max_output_tokens": 5,
            "metadata": {"a": "b"},
            "moderation": {"model": "any"},
            "prompt_cache_key": "k",
            "safety_identifier": "s",
            "stream_options": None,
            "text": {"format": {"type": "json_object"}},
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": "none",
            "top_logprobs": 0,
            "user": "u",
            "max_tool_calls": 3,
            "parallel_tool_calls": False,
        },
        refused={
            "background": True,
            "context_management": [{"type": "compaction"}],
            "conversation": "conv_1",
            "previous_response_id": "resp_1",
            "prompt": {"id": "pmpt_1"},
            "reasoning": {"effort": "high"},
            "store": True,
            "truncation": "auto",
        },
        ignored={
            "prompt_cache_options": CACHED["prompt_cache_options"],
            "prompt_cache_retention": CACHED["prompt_cache_retention"],
            "service_tier": "flex",
        },
    ),
    "uploads": Fields(
        upload_create_params.UploadCreateParams,
        "/v1/uploads",
        {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": 2},
        served={
            "filename": "b.jsonl",
            "purpose": "batch",
            "bytes": 3,
            "expires_after": {"anchor": "created_at", "seconds": 3600},
        },
        ignored={"mime_type": "text/jsonl"},
    ),
    "fine_tuning": Fields(
        job_create_params.JobCreateParams,
        "/v1/fine_tuning/jobs",
        {"model": "tiny", "training_file": "file-0"},
        served={
            "model": "tiny",
            "training_file": "file-0",
            "hyperparameters": {"n_epochs": 2},
            "method": {"type": "supervised", "supervised": {}},
            "seed": 5,
            "suffix": "mine",
            "metadata": {"a": "b"},
            "validation_file": "file-1",
        },
        refused={"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]},
    ),
}
"""By route, bodies of JSON."""

OTHERS = {
    "stream_options": (ChatCompletionStreamOptionsParam, {"include_usage", "include_obfuscation"}),
    "response stream_options": (response_create_params.StreamOptions, {"include_obfuscation"}),
    "files": (file_create_params.FileCreateParams, {"file", "purpose", "expires_after"}),
    "files listed": (file_list_params.FileListParams, {"after", "limit", "order", "purpose"}),
    "parts": (part_create_params.PartCreateParams, {"data"}),
    "uploads completed": (upload_complete_params.UploadCompleteParams, {"part_ids", "md5"}),
    "jobs listed": (job_list_params.JobListParams, {"after", "limit", "metadata"}),
    "events": (job_list_events_params.JobListEventsParams, {"after", "limit"}),
    "batches": (
        batch_create_params.BatchCreateParams,
        {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"},
    ),
    "batches listed": (batch_list_params.BatchListParams, {"after", "limit"}),
    "evals": (
        eval_create_params.EvalCreateParams,
        {"name", "data_source_config", "testing_criteria", "metadata"},
    ),
    "evals changed": (eval_update_params.EvalUpdateParams, {"name", "metadata"}),
    "evals listed": (eval_list_params.EvalListParams, {"after", "limit", "order", "order_by"}),
    "runs": (run_create_params.RunCreateParams, {"name", "data_source", "metadata"}),
    "runs listed": (run_list_params.RunListParams, {"after", "limit", "order", "status"}),
    "output items": (
        output_item_list_params.OutputItemListParams,
        {"eval_id", "after", "limit", "order", "status"},
    ),
    "checkpoints": (checkpoint_list_params.CheckpointListParams, {"after", "limit"}),
}
"""What is no body of JSON, or within one; their tests are elsewhere or one by one."""
