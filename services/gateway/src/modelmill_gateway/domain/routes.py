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
    route("GET", "/", "index", None, "List links to the documents.", NO_MODELS),
    route("GET", "/docs", "reference", None, "Get the API reference as a page.", NO_MODELS),
    route("GET", "/healthz", "health", None, "Check that the process is alive.", NO_MODELS),
    route("GET", "/readyz", "ready", None, "Check that the process accepts requests.", NO_MODELS),
    route(
        "GET", "/openapi.json", "openapi", None, "Get this API as an OpenAPI document.", NO_MODELS
    ),
    route(
        "GET",
        "/asyncapi.json",
        "asyncapi",
        None,
        "Get the message bus as an AsyncAPI document.",
        NO_MODELS,
    ),
    route(
        "POST",
        "/generate",
        "generate",
        access.CHAT,
        "Generate an answer to one prompt.",
        MODEL_OR_DEFAULT,
    ),
    route(
        "POST", "/v1/chat/completions", "chat", access.CHAT, "Create a chat completion.", ONE_MODEL
    ),
    route(
        "POST", "/v1/completions", "complete", access.CHAT, "Create a text completion.", ONE_MODEL
    ),
    route(
        "POST",
        "/v1/responses",
        "respond",
        access.CHAT,
        "Create a response; nothing is stored.",
        ONE_MODEL,
    ),
    Route(
        *(
            "messages",
            "POST",
            "/v1/messages",
            access.CHAT,
            "Create a message, as Anthropic's clients ask.",
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
            "Count the tokens of a message.",
            ONE_MODEL,
        ),
        *(Body.JSON, Dialect.ANTHROPIC),
    ),
    route("POST", "/v1/embeddings", "embed", access.CHAT, "Create embeddings of texts.", ONE_MODEL),
    route(
        "POST",
        "/v1/moderations",
        "moderate",
        access.CHAT,
        "Moderate texts by the tenant's policy.",
        NO_MODELS,
    ),
    route("GET", POLICY, "get_policy", access.MODERATION, "Get the moderation policy.", NO_MODELS),
    route(
        "PUT",
        POLICY,
        "put_policy",
        access.MODERATION,
        "Put a moderation policy in force.",
        EVERY_MODEL,
    ),
    route(
        "GET",
        f"{POLICY}/versions",
        "list_policies",
        access.MODERATION,
        "List versions of the moderation policy.",
        NO_MODELS,
    ),
    route(
        "POST",
        f"{POLICY}/revert",
        "revert_policy",
        access.MODERATION,
        "Revert to an earlier moderation policy, or the shared one.",
        EVERY_MODEL,
    ),
    route(
        "POST",
        FEEDBACK,
        "record_feedback",
        access.CHAT,
        "Record feedback on a response or a moderation verdict.",
        NO_MODELS,
    ),
    route("GET", FEEDBACK, "list_feedback", access.MODERATION, "List feedback records.", NO_MODELS),
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
        "upload_file", "POST", "/v1/files", access.FILES, "Upload a file.", NO_MODELS, Body.UPLOAD
    ),
    route("GET", "/v1/files", "list_files", access.FILES, "List files.", NO_MODELS),
    route(
        "GET", "/v1/files/{file_id}", "get_file", access.FILES, "Get a file's record.", NO_MODELS
    ),
    route(
        "DELETE", "/v1/files/{file_id}", "delete_file", access.FILES, "Delete a file.", NO_MODELS
    ),
    route(
        "GET",
        "/v1/files/{file_id}/content",
        "get_content",
        access.FILES,
        "Download a file.",
        NO_MODELS,
    ),
    route(
        "POST", "/v1/uploads", "begin_upload", access.FILES, "Begin an upload in parts.", NO_MODELS
    ),
    Route(
        "add_upload_part",
        "POST",
        f"{UPLOAD}/parts",
        access.FILES,
        "Add a part to an upload.",
        NO_MODELS,
        Body.UPLOAD,
    ),
    route(
        "POST",
        f"{UPLOAD}/complete",
        "complete_upload",
        access.FILES,
        "Complete an upload.",
        NO_MODELS,
    ),
    Route(
        "cancel_upload", "POST", f"{UPLOAD}/cancel", access.FILES, "Cancel an upload.", NO_MODELS
    ),
    route(
        "POST",
        "/v1/datasets",
        "create_dataset",
        access.DATASETS,
        "Create a dataset from a file.",
        DATASET,
    ),
    route(
        "POST",
        "/v1/datasets/preview",
        "preview_dataset",
        access.DATASETS,
        "Preview the dataset of a file's first rows.",
        DATASET,
    ),
    route("GET", "/v1/datasets", "list_datasets", access.DATASETS, "List datasets.", NO_MODELS),
    route(
        "GET",
        "/v1/datasets/{dataset_id}",
        "get_dataset",
        access.DATASETS,
        "Get a dataset.",
        NO_MODELS,
    ),
    route(
        "DELETE",
        "/v1/datasets/{dataset_id}",
        "delete_dataset",
        access.DATASETS,
        "Delete a dataset.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}/rows/{line}",
        "explain_row",
        access.DATASETS,
        "Get the provenance of a source row.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}/diff/{other_dataset_id}",
        "diff_datasets",
        access.DATASETS,
        "Compare two datasets.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/datasets/{dataset_id}/report",
        "get_report",
        access.DATASETS,
        "Get a dataset's report as JSON or HTML.",
        NO_MODELS,
    ),
    *JOB_ROUTES,
    route(
        "GET",
        "/v1/budget",
        "get_budget",
        access.BUDGETS,
        "Get the tenant's limits and use.",
        NO_MODELS,
    ),
    Route(
        "put_budget",
        "PUT",
        "/v1/budget",
        access.BUDGETS,
        "Set the tenant's limits.",
        NO_MODELS,
        Body.JSON,
    ),
    route("GET", "/v1/usage", "get_usage", access.USAGE, "Get the tenant's usage.", NO_MODELS),
    route(
        "GET",
        "/v1/organization/usage/completions",
        "get_organization_usage",
        access.USAGE,
        "Get the tenant's usage, at OpenAI's path.",
        NO_MODELS,
    ),
    route(
        "POST",
        "/v1/webhooks",
        "register_webhook",
        access.WEBHOOKS,
        "Register a webhook endpoint.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/webhooks",
        "list_webhooks",
        access.WEBHOOKS,
        "List webhook endpoints.",
        NO_MODELS,
    ),
    route("GET", WEBHOOK, "get_webhook", access.WEBHOOKS, "Get a webhook endpoint.", NO_MODELS),
    Route(
        "change_webhook",
        "PATCH",
        WEBHOOK,
        access.WEBHOOKS,
        "Update a webhook endpoint.",
        NO_MODELS,
        Body.JSON,
    ),
    route(
        "DELETE",
        WEBHOOK,
        "delete_webhook",
        access.WEBHOOKS,
        "Delete a webhook endpoint.",
        NO_MODELS,
    ),
    Route(
        "rotate_webhook",
        "POST",
        f"{WEBHOOK}/rotate",
        access.WEBHOOKS,
        "Rotate a webhook endpoint's secret.",
        NO_MODELS,
    ),
    Route(
        "test_webhook",
        "POST",
        f"{WEBHOOK}/test",
        access.WEBHOOKS,
        "Send a test event to a webhook endpoint.",
        NO_MODELS,
    ),
    route(
        "GET",
        f"{WEBHOOK}/deliveries",
        "list_webhook_deliveries",
        access.WEBHOOKS,
        "List delivery attempts of a webhook endpoint.",
        NO_MODELS,
    ),
    route(
        "GET", "/v1/audit", "list_changes", access.KEYS, "List the audit log of changes.", NO_MODELS
    ),
    route("POST", "/v1/keys", "issue_key", access.KEYS, "Create an API key.", OF_KEY),
    route("GET", "/v1/keys", "list_keys", access.KEYS, "List API keys.", NO_MODELS),
    route("GET", KEY, "get_key", access.KEYS, "Get an API key's record.", NO_MODELS),
    Route("change_key", "PATCH", KEY, access.KEYS, "Update an API key.", OF_KEY, Body.JSON),
    route("DELETE", KEY, "revoke_key", access.KEYS, "Revoke an API key for good.", NO_MODELS),
    Route(
        "rotate_key", "POST", f"{KEY}/rotate", access.KEYS, "Rotate an API key's secret.", NO_MODELS
    ),
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
