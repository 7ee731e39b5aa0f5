"""Every way in: the one table of paths, methods and the scope that each asks for.

What is not here is not reachable. The HTTP app, its documentation and the access tests are all made
from this table.
"""

import re
from dataclasses import dataclass
from enum import Enum

from gateway.domain import access


class Body(Enum):
    """What a route takes, which decides how many bytes it may have."""

    NONE = "none"
    JSON = "json"
    UPLOAD = "upload"


class Dialect(Enum):
    """Whose clients speak to a route, which decides in what shape it refuses."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True)
class Route:
    """One operation. `scope` None opens it to everybody."""

    name: str
    method: str
    path: str
    scope: str | None
    summary: str
    body: Body = Body.NONE
    dialect: Dialect = Dialect.OPENAI


def _route(method: str, path: str, name: str, scope: str | None, summary: str) -> Route:
    body = Body.JSON if method in ("POST", "PUT") else Body.NONE
    return Route(name, method, path, scope, summary, body)


TUNING = "/v1/fine_tuning/jobs"
UPLOAD = "/v1/uploads/{upload_id}"
WEBHOOK = "/v1/webhooks/{webhook_id}"
POLICY = "/v1/moderation/policy"
KEY = "/v1/keys/{key_id}"
BATCH = "/v1/batches/{batch_id}"
EVAL = "/v1/evals/{eval_id}"
RUN = f"{EVAL}/runs/{{run_id}}"


def _wishes(path: str, what: str) -> tuple[Route, ...]:
    """Ways to steer the jobs at `path`; none of them takes a body."""
    said = {
        "cancel": "Ask the job to stop for good.",
        "pause": "Ask the job to save and to free its worker.",
        "resume": "Let the job go on, or run it again.",
    }
    return tuple(
        Route(f"{wish}_{what}", "POST", f"{path}/{{job_id}}/{wish}", access.JOBS, summary)
        for wish, summary in said.items()
    )


ROUTES = (
    _route("GET", "/healthz", "health", None, "Whether the process runs and stays."),
    _route("GET", "/readyz", "ready", None, "Whether to send requests here."),
    _route("GET", "/openapi.json", "openapi", None, "This API as an OpenAPI document."),
    _route("GET", "/asyncapi.json", "asyncapi", None, "The bus as an AsyncAPI document."),
    _route("POST", "/generate", "generate", access.CHAT, "Answer one prompt."),
    _route("POST", "/v1/chat/completions", "chat", access.CHAT, "Answer a conversation."),
    _route("POST", "/v1/completions", "complete", access.CHAT, "Continue text as it is."),
    _route("POST", "/v1/responses", "respond", access.CHAT, "Answer items; nothing is kept."),
    Route(
        *("messages", "POST", "/v1/messages", access.CHAT, "Answer a conversation of Anthropic's."),
        *(Body.JSON, Dialect.ANTHROPIC),
    ),
    Route(
        *("count_tokens", "POST", "/v1/messages/count_tokens", access.CHAT, "How long it is."),
        *(Body.JSON, Dialect.ANTHROPIC),
    ),
    _route("POST", "/v1/embeddings", "embed", access.CHAT, "Vectors of texts."),
    _route("POST", "/v1/moderations", "moderate", access.CHAT, "Judge texts by the policy."),
    _route("GET", POLICY, "get_policy", access.MODERATION, "The policy that judges."),
    _route("PUT", POLICY, "put_policy", access.MODERATION, "Put a policy in force."),
    _route("GET", f"{POLICY}/versions", "list_policies", access.MODERATION, "What was in force."),
    _route("POST", f"{POLICY}/revert", "revert_policy", access.MODERATION, "Go back to one."),
    _route("POST", "/v1/feedback", "record_feedback", access.CHAT, "A word on it, kept."),
    _route("GET", "/v1/models", "list_models", access.MODELS_READ, "Names and versions."),
    _route("GET", "/v1/models/{model}", "get_model", access.MODELS_READ, "One name or version."),
    _route(
        "DELETE", "/v1/models/{model}", "delete_model", access.MODELS_WRITE, "Retire a version."
    ),
    _route("GET", "/v1/aliases", "list_aliases", access.MODELS_READ, "Names and what they mean."),
    _route("PUT", "/v1/aliases/{name}", "move_alias", access.MODELS_WRITE, "Let a name mean it."),
    Route("upload_file", "POST", "/v1/files", access.FILES, "Store a file.", Body.UPLOAD),
    _route("GET", "/v1/files", "list_files", access.FILES, "The tenant's files."),
    _route("GET", "/v1/files/{file_id}", "get_file", access.FILES, "One file's record."),
    _route("DELETE", "/v1/files/{file_id}", "delete_file", access.FILES, "Delete a file."),
    _route("GET", "/v1/files/{file_id}/content", "get_content", access.FILES, "A file's bytes."),
    _route("POST", "/v1/uploads", "begin_upload", access.FILES, "Begin a file in parts."),
    Route("add_upload_part", "POST", f"{UPLOAD}/parts", access.FILES, "Add one.", Body.UPLOAD),
    _route("POST", f"{UPLOAD}/complete", "complete_upload", access.FILES, "Join the parts."),
    Route("cancel_upload", "POST", f"{UPLOAD}/cancel", access.FILES, "Forget the parts."),
    _route("POST", "/v1/datasets", "create_dataset", access.DATASETS, "Make a dataset of a file."),
    _route(
        "POST",
        "/v1/datasets/preview",
        "preview_dataset",
        access.DATASETS,
        "What a file's first rows would become.",
    ),
    _route("GET", "/v1/datasets", "list_datasets", access.DATASETS, "The tenant's datasets."),
    _route("GET", "/v1/datasets/{dataset_id}", "get_dataset", access.DATASETS, "One dataset."),
    _route("DELETE", "/v1/datasets/{dataset_id}", "delete_dataset", access.DATASETS, "Delete it."),
    _route(
        "GET",
        "/v1/datasets/{dataset_id}/rows/{line}",
        "explain_row",
        access.DATASETS,
        "What became of a row of the source file.",
    ),
    _route(
        "GET",
        "/v1/datasets/{dataset_id}/diff/{other_dataset_id}",
        "diff_datasets",
        access.DATASETS,
        "What two datasets do not have in common.",
    ),
    _route(
        "GET",
        "/v1/datasets/{dataset_id}/report",
        "get_report",
        access.DATASETS,
        "The report as JSON, or with format=html as a page.",
    ),
    _route("POST", TUNING, "create_fine_tuning", access.JOBS, "Train a model."),
    _route("GET", TUNING, "list_fine_tuning", access.JOBS, "Training jobs."),
    _route("GET", f"{TUNING}/{{job_id}}", "get_fine_tuning", access.JOBS, "One of them."),
    _route(
        "GET",
        f"{TUNING}/{{job_id}}/events",
        "list_fine_tuning_events",
        access.JOBS,
        "What happened to a training job, as a page or as a stream.",
    ),
    _route(
        "GET",
        f"{TUNING}/{{job_id}}/checkpoints",
        "list_fine_tuning_checkpoints",
        access.JOBS,
        "What a training job has saved.",
    ),
    *_wishes(TUNING, "fine_tuning"),
    _route("POST", "/v1/optimizations", "create_optimization", access.JOBS, "Build a faster form."),
    _route("GET", "/v1/optimizations", "list_optimizations", access.JOBS, "Builds."),
    _route("GET", "/v1/optimizations/{job_id}", "get_optimization", access.JOBS, "One of them."),
    _wishes("/v1/optimizations", "optimization")[0],
    _route("POST", "/v1/evaluations", "create_evaluation", access.JOBS, "Measure a model."),
    _route("GET", "/v1/evaluations", "list_evaluations", access.JOBS, "Evaluations."),
    _route("GET", "/v1/evaluations/{job_id}", "get_evaluation", access.JOBS, "One of them."),
    _route(
        "GET",
        "/v1/evaluations/{job_id}/report",
        "get_evaluation_report",
        access.JOBS,
        "What it found: figures as JSON, or with format=rows or html each row or a page.",
    ),
    _wishes("/v1/evaluations", "evaluation")[0],
    _route("GET", "/v1/jobs", "list_jobs", access.JOBS, "Jobs of every kind."),
    _route("GET", "/v1/jobs/{job_id}", "get_job", access.JOBS, "One job of any kind."),
    _route(
        "GET",
        "/v1/jobs/{job_id}/events",
        "list_job_events",
        access.JOBS,
        "What happened to a job, as a page or as a stream.",
    ),
    *_wishes("/v1/jobs", "job"),
    _route("POST", "/v1/evals", "create_eval", access.CHAT, "Say how answers are graded."),
    _route("GET", "/v1/evals", "list_evals", access.CHAT, "The tenant's evals."),
    _route("GET", EVAL, "get_eval", access.CHAT, "One eval."),
    _route("POST", EVAL, "change_eval", access.CHAT, "Give it another name."),
    _route("DELETE", EVAL, "delete_eval", access.CHAT, "Delete it and its runs."),
    _route("POST", f"{EVAL}/runs", "create_eval_run", access.CHAT, "Sample and grade rows."),
    _route("GET", f"{EVAL}/runs", "list_eval_runs", access.CHAT, "Runs of an eval."),
    _route("GET", RUN, "get_eval_run", access.CHAT, "One run."),
    Route("cancel_eval_run", "POST", RUN, access.CHAT, "Answer no more of it."),
    _route("DELETE", RUN, "delete_eval_run", access.CHAT, "Show it no more."),
    _route("GET", f"{RUN}/output_items", "list_eval_items", access.CHAT, "Rows of a run."),
    _route(
        "GET",
        f"{RUN}/output_items/{{output_item_id}}",
        "get_eval_item",
        access.CHAT,
        "One row, its answer and its grades.",
    ),
    _route("GET", "/v1/budget", "get_budget", access.BUDGETS, "What the tenant may use."),
    Route("put_budget", "PUT", "/v1/budget", access.BUDGETS, "Set that.", Body.JSON),
    _route("GET", "/v1/usage", "get_usage", access.USAGE, "What the tenant used."),
    _route(
        "GET",
        "/v1/organization/usage/completions",
        "get_organization_usage",
        access.USAGE,
        "The same, where OpenAI's clients look for it.",
    ),
    _route("POST", "/v1/batches", "create_batch", access.CHAT, "Answer a file of requests."),
    _route("GET", "/v1/batches", "list_batches", access.CHAT, "The tenant's batches."),
    _route("GET", BATCH, "get_batch", access.CHAT, "One batch."),
    Route("cancel_batch", "POST", f"{BATCH}/cancel", access.CHAT, "Answer no more of it."),
    _route("POST", "/v1/webhooks", "register_webhook", access.WEBHOOKS, "Be told of events."),
    _route("GET", "/v1/webhooks", "list_webhooks", access.WEBHOOKS, "The tenant's endpoints."),
    _route("GET", WEBHOOK, "get_webhook", access.WEBHOOKS, "One endpoint."),
    Route("change_webhook", "PATCH", WEBHOOK, access.WEBHOOKS, "Change it.", Body.JSON),
    _route("DELETE", WEBHOOK, "delete_webhook", access.WEBHOOKS, "Tell it nothing more."),
    Route("rotate_webhook", "POST", f"{WEBHOOK}/rotate", access.WEBHOOKS, "Give it a new secret."),
    Route("test_webhook", "POST", f"{WEBHOOK}/test", access.WEBHOOKS, "Send it a test event."),
    _route(
        "GET",
        f"{WEBHOOK}/deliveries",
        "list_webhook_deliveries",
        access.WEBHOOKS,
        "What came of the last attempts to reach it.",
    ),
    _route("GET", "/v1/audit", "list_changes", access.KEYS, "Who changed what."),
    _route("POST", "/v1/keys", "issue_key", access.KEYS, "Make an API key."),
    _route("GET", "/v1/keys", "list_keys", access.KEYS, "The tenant's API keys."),
    _route("GET", KEY, "get_key", access.KEYS, "One key's record."),
    Route("change_key", "PATCH", KEY, access.KEYS, "Change it.", Body.JSON),
    _route("DELETE", KEY, "revoke_key", access.KEYS, "Revoke it, for good."),
    Route("rotate_key", "POST", f"{KEY}/rotate", access.KEYS, "Give it a new secret."),
)


@dataclass(frozen=True)
class Match:
    """What the table says of a path: the route, or the methods that the path does take."""

    route: Route | None
    allowed: tuple[str, ...] = ()


_EXACT = {(r.method, r.path): r for r in ROUTES if "{" not in r.path}
_PATTERNS = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", r.path)), r) for r in ROUTES]


def match(method: str, path: str) -> Match:
    """Find the route of a request, by table alone."""
    if route := _EXACT.get((method, path)):
        return Match(route)
    on_path = [route for pattern, route in _PATTERNS if pattern.fullmatch(path)]
    for route in on_path:
        if route.method == method:
            return Match(route)
    return Match(None, tuple(route.method for route in on_path))
