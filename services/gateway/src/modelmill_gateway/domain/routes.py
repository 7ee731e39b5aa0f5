"""Every way in: the one table of paths, methods and the scope that each asks for.

What is not here is not reachable. The HTTP app, its documentation and the access tests are all made
from this table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelmill_gateway.domain import access
from modelmill_gateway.domain.job_routes import JOB_ROUTES
from modelmill_gateway.domain.model_names import NO_MODELS, ONE_MODEL, ModelNames, Reach
from modelmill_gateway.domain.model_routes import MODEL_ROUTES
from modelmill_gateway.domain.route import Body, Dialect, Route, route

UPLOAD = "/v1/uploads/{upload_id}"
WEBHOOK = "/v1/webhooks/{webhook_id}"
POLICY = "/v1/moderation/policy"
KEY = "/v1/keys/{key_id}"
FEEDBACK = "/v1/feedback"

MODEL_OR_DEFAULT = ModelNames(("model",), is_default_meant=True)
EVERY_MODEL = ModelNames(reach=Reach.ALL)
DATASET = ModelNames(("tokenize.model", "augment.steps.model", "curriculum.loss_model"))
OF_KEY = ModelNames(("models",))
"""What a key shall be able to ask for."""


ROUTES = (
    route("GET", "/", "index", None, "An index page of links.", NO_MODELS),
    route("GET", "/docs", "reference", None, "The API reference as a page.", NO_MODELS),
    route("GET", "/healthz", "health", None, "Whether the process runs and stays.", NO_MODELS),
    route("GET", "/readyz", "ready", None, "Whether to send requests here.", NO_MODELS),
    route("GET", "/openapi.json", "openapi", None, "This API as an OpenAPI document.", NO_MODELS),
    route("GET", "/asyncapi.json", "asyncapi", None, "The bus as an AsyncAPI document.", NO_MODELS),
    route("POST", "/generate", "generate", access.CHAT, "Answer one prompt.", MODEL_OR_DEFAULT),
    route("POST", "/v1/chat/completions", "chat", access.CHAT, "Answer a conversation.", ONE_MODEL),
    route("POST", "/v1/completions", "complete", access.CHAT, "Continue text as it is.", ONE_MODEL),
    route(
        "POST", "/v1/responses", "respond", access.CHAT, "Answer items; nothing is kept.", ONE_MODEL
    ),
    Route(
        *(
            "messages",
            "POST",
            "/v1/messages",
            access.CHAT,
            "Answer a conversation of Anthropic's.",
            ONE_MODEL,
        ),
        *(Body.JSON, Dialect.ANTHROPIC),
    ),
    Route(
        *(
            "count_tokens",
            "POST",
            "/v1/messages/count_tokens",
            access.CHAT,
            "How long it is.",
            ONE_MODEL,
        ),
        *(Body.JSON, Dialect.ANTHROPIC),
    ),
    route("POST", "/v1/embeddings", "embed", access.CHAT, "Vectors of texts.", ONE_MODEL),
    route(
        "POST", "/v1/moderations", "moderate", access.CHAT, "Judge texts by the policy.", NO_MODELS
    ),
    route("GET", POLICY, "get_policy", access.MODERATION, "The policy that judges.", NO_MODELS),
    route("PUT", POLICY, "put_policy", access.MODERATION, "Put a policy in force.", EVERY_MODEL),
    route(
        "GET",
        f"{POLICY}/versions",
        "list_policies",
        access.MODERATION,
        "What was in force.",
        NO_MODELS,
    ),
    route(
        "POST",
        f"{POLICY}/revert",
        "revert_policy",
        access.MODERATION,
        "Go back to one.",
        EVERY_MODEL,
    ),
    route("POST", FEEDBACK, "record_feedback", access.CHAT, "Record feedback.", NO_MODELS),
    route("GET", FEEDBACK, "list_feedback", access.MODERATION, "List feedback.", NO_MODELS),
    route(
        "GET",
        f"{FEEDBACK}/{{feedback_id}}",
        "get_feedback",
        access.MODERATION,
        "Get a feedback record.",
        NO_MODELS,
    ),
    *MODEL_ROUTES,
    Route(
        "upload_file", "POST", "/v1/files", access.FILES, "Store a file.", NO_MODELS, Body.UPLOAD
    ),
    route("GET", "/v1/files", "list_files", access.FILES, "The tenant's files.", NO_MODELS),
    route("GET", "/v1/files/{file_id}", "get_file", access.FILES, "One file's record.", NO_MODELS),
    route(
        "DELETE", "/v1/files/{file_id}", "delete_file", access.FILES, "Delete a file.", NO_MODELS
    ),
    route(
        "GET",
        "/v1/files/{file_id}/content",
        "get_content",
        access.FILES,
        "A file's bytes.",
        NO_MODELS,
    ),
    route("POST", "/v1/uploads", "begin_upload", access.FILES, "Begin a file in parts.", NO_MODELS),
    Route(
        "add_upload_part",
        "POST",
        f"{UPLOAD}/parts",
        access.FILES,
        "Add one.",
        NO_MODELS,
        Body.UPLOAD,
    ),
    route(
        "POST", f"{UPLOAD}/complete", "complete_upload", access.FILES, "Join the parts.", NO_MODELS
    ),
    Route(
        "cancel_upload", "POST", f"{UPLOAD}/cancel", access.FILES, "Forget the parts.", NO_MODELS
    ),
    route(
        "POST",
        "/v1/datasets",
        "create_dataset",
        access.DATASETS,
        "Make a dataset of a file.",
        DATASET,
    ),
    route(
        "POST",
        "/v1/datasets/preview",
        "preview_dataset",
        access.DATASETS,
        "What a file's first rows would become.",
        DATASET,
    ),
    route(
        "GET", "/v1/datasets", "list_datasets", access.DATASETS, "The tenant's datasets.", NO_MODELS
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}",
        "get_dataset",
        access.DATASETS,
        "One dataset.",
        NO_MODELS,
    ),
    route(
        "DELETE",
        "/v1/datasets/{dataset_id}",
        "delete_dataset",
        access.DATASETS,
        "Delete it.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}/rows/{line}",
        "explain_row",
        access.DATASETS,
        "What became of a row of the source file.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}/diff/{other_dataset_id}",
        "diff_datasets",
        access.DATASETS,
        "What two datasets do not have in common.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}/report",
        "get_report",
        access.DATASETS,
        "The report as JSON, or with format=html as a page.",
        NO_MODELS,
    ),
    *JOB_ROUTES,
    route("GET", "/v1/budget", "get_budget", access.BUDGETS, "What the tenant may use.", NO_MODELS),
    Route("put_budget", "PUT", "/v1/budget", access.BUDGETS, "Set that.", NO_MODELS, Body.JSON),
    route("GET", "/v1/usage", "get_usage", access.USAGE, "What the tenant used.", NO_MODELS),
    route(
        "GET",
        "/v1/organization/usage/completions",
        "get_organization_usage",
        access.USAGE,
        "The same, where OpenAI's clients look for it.",
        NO_MODELS,
    ),
    route(
        "POST", "/v1/webhooks", "register_webhook", access.WEBHOOKS, "Be told of events.", NO_MODELS
    ),
    route(
        "GET",
        "/v1/webhooks",
        "list_webhooks",
        access.WEBHOOKS,
        "The tenant's endpoints.",
        NO_MODELS,
    ),
    route("GET", WEBHOOK, "get_webhook", access.WEBHOOKS, "One endpoint.", NO_MODELS),
    Route("change_webhook", "PATCH", WEBHOOK, access.WEBHOOKS, "Change it.", NO_MODELS, Body.JSON),
    route("DELETE", WEBHOOK, "delete_webhook", access.WEBHOOKS, "Tell it nothing more.", NO_MODELS),
    Route(
        "rotate_webhook",
        "POST",
        f"{WEBHOOK}/rotate",
        access.WEBHOOKS,
        "Give it a new secret.",
        NO_MODELS,
    ),
    Route(
        "test_webhook",
        "POST",
        f"{WEBHOOK}/test",
        access.WEBHOOKS,
        "Send it a test event.",
        NO_MODELS,
    ),
    route(
        "GET",
        f"{WEBHOOK}/deliveries",
        "list_webhook_deliveries",
        access.WEBHOOKS,
        "What came of the last attempts to reach it.",
        NO_MODELS,
    ),
    route("GET", "/v1/audit", "list_changes", access.KEYS, "Who changed what.", NO_MODELS),
    route("POST", "/v1/keys", "issue_key", access.KEYS, "Make an API key.", OF_KEY),
    route("GET", "/v1/keys", "list_keys", access.KEYS, "The tenant's API keys.", NO_MODELS),
    route("GET", KEY, "get_key", access.KEYS, "One key's record.", NO_MODELS),
    Route("change_key", "PATCH", KEY, access.KEYS, "Change it.", OF_KEY, Body.JSON),
    route("DELETE", KEY, "revoke_key", access.KEYS, "Revoke it, for good.", NO_MODELS),
    Route("rotate_key", "POST", f"{KEY}/rotate", access.KEYS, "Give it a new secret.", NO_MODELS),
)


@dataclass(frozen=True)
class Match:
    """What the table says of a path: the route, or the methods that the path does take."""

    route: Route | None
    allowed: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    """What stands at the named places of the path."""


_EXACT = {(r.method, r.path): r for r in ROUTES if "{" not in r.path}
_PATTERNS = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", r.path)), r) for r in ROUTES]


def match(method: str, path: str) -> Match:
    """Find the route of a request, by table alone."""
    if exact := _EXACT.get((method, path)):
        return Match(exact)
    on_path = [(found, row) for pattern, row in _PATTERNS if (found := pattern.fullmatch(path))]
    for found, row in on_path:
        if row.method == method:
            return Match(row, places=found.groupdict())
    return Match(None, tuple(row.method for _, row in on_path))
