"""Every way in: the one table of paths, methods and the scope that each asks for.

What is not here is not reachable. The HTTP app, its documentation and the access tests are all made
from this table.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from modelmill_gateway.domain.access import (
    BUDGETS,
    CHAT,
    DATASETS,
    FILES,
    JOBS,
    KEYS,
    LOGS,
    MODELS_READ,
    MODELS_WRITE,
    MODERATION,
    OPERATOR,
    USAGE,
    WEBHOOKS,
    Caller,
)
from modelmill_gateway.domain.model_names import NO_MODELS, ONE_MODEL, ModelNames, Reach


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
    """One operation: every caller with the scope is let in, with None every caller there is.

    `models` says where it names models; `is_open` lets in who is no caller, without a credential.
    """

    name: str
    method: str
    path: str
    scope: str | None
    summary: str
    models: ModelNames
    body: Body = Body.NONE
    dialect: Dialect = Dialect.OPENAI
    is_open: bool = False

    def require(self, caller: Caller) -> None:
        """Raise PermissionDeniedError unless the caller has the scope that is asked for."""
        if self.scope is not None:
            caller.require(self.scope)

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return self.path.replace(":path}", "}")


MODEL_OR_DEFAULT = ModelNames(("model",), is_default_meant=True)
EVERY_MODEL = ModelNames(reach=Reach.ALL)
LISTED = ModelNames(reach=Reach.LISTS)
IN_PATH = ModelNames(path="model")
OF_ALIAS = ModelNames(path="name")
ALIAS = ModelNames(
    ("version_id", "variants.version_id", "shadow.version_id", "fallback"), path="name"
)
COMPARED = ModelNames(("alias", "candidates"))
DATASET = ModelNames(("tokenize.model", "augment.steps.model", "curriculum.loss_model"))
TRAINED = ModelNames(("model", "teacher", "suffix"))
"""The suffix is what the tuned model is called: a name that others may be asking for already."""
MEASURED = ModelNames(("model", "compare_to"))
GRADERS = ModelNames(("testing_criteria.model",))
SAMPLED = ModelNames(("data_source.model",), "eval_id", reach=Reach.EVAL)
STEERED = ModelNames(path="job_id", reach=Reach.JOB)
STEERED_BATCH = ModelNames(path="batch_id", reach=Reach.JOB)
STEERED_RUN = ModelNames(path="run_id", reach=Reach.JOB)
OF_KEY = ModelNames(("models",))
"""What a key shall be able to ask for."""

_Row = tuple[str, str, str, str] | tuple[str, str, str, str, ModelNames]
"""Method, rest of the path, name, summary, and the models that it names if not its group's."""

_CANCEL, _RESUME = "Cancel a job for good.", "Resume a paused or failed job."
_PAUSE = "Pause a job; its worker saves a checkpoint."

_OPEN: tuple[_Row, ...] = (
    ("GET", "/", "index", "List links to the documents."),
    ("GET", "/docs", "documentation", "Get the documentation, or the API reference."),
    ("GET", "/docs/api", "reference", "Get the API reference as a page."),
    ("GET", "/docs/{page:path}", "documentation_page", "Get a file of the documentation."),
    ("GET", "/console", "console", "Get the web console."),
    ("GET", "/console/{page:path}", "console_page", "Get a file of the web console."),
    ("GET", "/v1/sign_in", "list_sign_in", "List providers at which people sign in."),
    ("GET", "/healthz", "health", "Check that the process is alive."),
    ("GET", "/readyz", "ready", "Check that the process accepts requests."),
    ("GET", "/openapi.json", "openapi", "Get this API as an OpenAPI document."),
    ("GET", "/asyncapi.json", "asyncapi", "Get the message bus as an AsyncAPI document."),
)
"""What everybody may ask for, without a credential."""

_TABLE: Mapping[tuple[str | None, str, ModelNames], tuple[_Row, ...]] = {
    (None, "/v1/me", NO_MODELS): (("GET", "", "get_me", "Get whom the credential names."),),
    (CHAT, "", ONE_MODEL): (
        ("POST", "/generate", "generate", "Generate an answer to one prompt.", MODEL_OR_DEFAULT),
        ("POST", "/v1/chat/completions", "chat", "Create a chat completion."),
        ("POST", "/v1/completions", "complete", "Create a text completion."),
        ("POST", "/v1/responses", "respond", "Create a response; nothing is stored."),
        ("POST", "/v1/messages", "messages", "Create a message, as Anthropic's clients ask."),
        ("POST", "/v1/messages/count_tokens", "count_tokens", "Count the tokens of a message."),
        ("POST", "/v1/embeddings", "embed", "Create embeddings of texts."),
        (
            "POST",
            "/v1/moderations",
            "moderate",
            "Moderate texts by the tenant's policy.",
            NO_MODELS,
        ),
    ),
    (MODERATION, "/v1/moderation/policy", NO_MODELS): (
        ("GET", "", "get_policy", "Get the moderation policy."),
        ("GET", "/versions", "list_policies", "List versions of the moderation policy."),
    ),
    (MODERATION, "/v1/moderation/policy", EVERY_MODEL): (
        ("PUT", "", "put_policy", "Put a moderation policy in force."),
    ),
    (MODERATION, "/v1/moderation/policy/revert", EVERY_MODEL): (
        ("POST", "", "revert_policy", "Revert to an earlier moderation policy, or the shared one."),
    ),
    (CHAT, "/v1/feedback", NO_MODELS): (
        ("POST", "", "record_feedback", "Record feedback on a response or a moderation verdict."),
    ),
    (MODERATION, "/v1/feedback", NO_MODELS): (
        ("GET", "", "list_feedback", "List feedback records."),
        ("GET", "/{feedback_id}", "get_feedback", "Get a feedback record."),
    ),
    (MODELS_READ, "/v1", LISTED): (
        ("GET", "/models", "list_models", "List models."),
        ("GET", "/models/{model}", "get_model", "Get a model.", IN_PATH),
        ("GET", "/models/{model}/forms", "compare_forms", "Compare forms of a model.", IN_PATH),
        ("GET", "/models/{model}/card", "get_model_card", "Get a model's card.", IN_PATH),
        ("GET", "/aliases", "list_aliases", "List aliases."),
    ),
    (MODELS_WRITE, "/v1", IN_PATH): (
        ("DELETE", "/models/{model}", "delete_model", "Delete an alias, or retire a version."),
        ("PUT", "/aliases/{name}", "move_alias", "Set an alias.", ALIAS),
        ("DELETE", "/aliases/{name}", "delete_alias", "Delete an alias.", OF_ALIAS),
    ),
    (MODELS_READ, "/v1/experiments", NO_MODELS): (
        ("GET", "", "list_experiments", "List experiments."),
        ("GET", "/{experiment_id}", "get_experiment", "Get an experiment with its evidence."),
        (
            "GET",
            "/{experiment_id}/units",
            "list_experiment_units",
            "List keys that an experiment counted, to replay its decisions.",
        ),
    ),
    (MODELS_WRITE, "/v1/experiments", EVERY_MODEL): (
        ("POST", "", "create_experiment", "Create an experiment on an alias.", COMPARED),
        ("POST", "/{experiment_id}/stop", "stop_experiment", "Stop an experiment."),
    ),
    (FILES, "/v1/files", NO_MODELS): (
        ("POST", "", "upload_file", "Upload a file."),
        ("GET", "", "list_files", "List files."),
        ("GET", "/{file_id}", "get_file", "Get a file's record."),
        ("DELETE", "/{file_id}", "delete_file", "Delete a file with its content."),
        ("GET", "/{file_id}/content", "get_content", "Download a file."),
    ),
    (FILES, "/v1/uploads", NO_MODELS): (
        ("POST", "", "begin_upload", "Begin an upload in parts."),
        ("POST", "/{upload_id}/parts", "add_upload_part", "Add a part to an upload."),
        ("POST", "/{upload_id}/complete", "complete_upload", "Complete an upload."),
        ("POST", "/{upload_id}/cancel", "cancel_upload", "Cancel an upload."),
    ),
    (DATASETS, "/v1/datasets", DATASET): (
        ("POST", "", "create_dataset", "Create a dataset from a file."),
        ("POST", "/preview", "preview_dataset", "Preview the dataset of a file's first rows."),
    ),
    (DATASETS, "/v1/datasets", NO_MODELS): (
        ("GET", "", "list_datasets", "List datasets."),
        ("GET", "/{dataset_id}", "get_dataset", "Get a dataset."),
        ("DELETE", "/{dataset_id}", "delete_dataset", "Delete a dataset with its rows."),
        ("GET", "/{dataset_id}/rows/{line}", "explain_row", "Get the provenance of a source row."),
        ("GET", "/{dataset_id}/diff/{other_dataset_id}", "diff_datasets", "Compare two datasets."),
        ("GET", "/{dataset_id}/report", "get_report", "Get a dataset's report as JSON or HTML."),
    ),
    (DATASETS, "/v1/datasets/{dataset_id}/comparison/{other_dataset_id}", NO_MODELS): (
        ("GET", "", "compare_datasets", "Compare two datasets side by side."),
        ("GET", "/rows", "list_unshared_rows", "List rows of the first that the second lacks."),
    ),
    (JOBS, "/v1/fine_tuning/jobs", NO_MODELS): (
        ("POST", "", "create_fine_tuning", "Create a fine-tuning job.", TRAINED),
        (
            "POST",
            "/estimate",
            "estimate_fine_tuning",
            "Estimate a fine-tuning job before it is ordered.",
            TRAINED,
        ),
        ("GET", "", "list_fine_tuning", "List fine-tuning jobs."),
        ("GET", "/{job_id}", "get_fine_tuning", "Get a fine-tuning job."),
    ),
    (JOBS, "/v1/fine_tuning/jobs/{job_id}", NO_MODELS): (
        (
            "GET",
            "/events",
            "list_fine_tuning_events",
            "List or stream events of a fine-tuning job.",
        ),
        (
            "GET",
            "/checkpoints",
            "list_fine_tuning_checkpoints",
            "List a fine-tuning job's checkpoints.",
        ),
    ),
    (JOBS, "/v1/fine_tuning/jobs/{job_id}", STEERED): (
        ("POST", "/cancel", "cancel_fine_tuning", _CANCEL),
        ("POST", "/pause", "pause_fine_tuning", _PAUSE),
        ("POST", "/resume", "resume_fine_tuning", _RESUME),
    ),
    (JOBS, "/v1/optimizations", NO_MODELS): (
        ("POST", "", "create_optimization", "Create a build, or search for one.", ONE_MODEL),
        (
            "POST",
            "/estimate",
            "estimate_optimization",
            "Estimate a build before it is ordered.",
            ONE_MODEL,
        ),
        ("GET", "", "list_optimizations", "List builds."),
        ("GET", "/{job_id}", "get_optimization", "Get a build."),
        (
            "GET",
            "/{job_id}/candidates",
            "compare_candidates",
            "Compare candidates of a search for an objective.",
        ),
        ("POST", "/{job_id}/cancel", "cancel_optimization", _CANCEL, STEERED),
    ),
    (JOBS, "/v1/evaluations", NO_MODELS): (
        ("POST", "", "create_evaluation", "Create an evaluation of a model.", MEASURED),
        (
            "POST",
            "/estimate",
            "estimate_evaluation",
            "Estimate an evaluation before it is ordered.",
            MEASURED,
        ),
        ("GET", "", "list_evaluations", "List evaluations."),
    ),
    (JOBS, "/v1/evaluations/{job_id}", NO_MODELS): (
        ("GET", "", "get_evaluation", "Get an evaluation."),
        (
            "GET",
            "/report",
            "get_evaluation_report",
            "Get an evaluation's report as JSON, rows or HTML.",
        ),
        ("GET", "/rows", "list_evaluation_rows", "List rows of an evaluation with answers."),
        ("POST", "/cancel", "cancel_evaluation", _CANCEL, STEERED),
    ),
    (JOBS, "/v1/jobs", NO_MODELS): (
        ("GET", "", "list_jobs", "List jobs of every kind."),
        ("GET", "/{job_id}", "get_job", "Get a job of any kind."),
        ("GET", "/{job_id}/events", "list_job_events", "List or stream events of a job."),
        ("GET", "/{job_id}/metrics", "get_job_metrics", "Get a job's metrics by step."),
        ("GET", "/{job_id}/comparison", "compare_jobs", "Compare a job with others."),
        ("POST", "/{job_id}/cancel", "cancel_job", _CANCEL, STEERED),
        ("POST", "/{job_id}/pause", "pause_job", _PAUSE, STEERED),
        ("POST", "/{job_id}/resume", "resume_job", _RESUME, STEERED),
    ),
    (CHAT, "/v1/evals", NO_MODELS): (
        ("POST", "", "create_eval", "Create an eval.", GRADERS),
        ("GET", "", "list_evals", "List evals."),
        ("GET", "/{eval_id}", "get_eval", "Get an eval."),
        ("POST", "/{eval_id}", "change_eval", "Update an eval."),
        ("DELETE", "/{eval_id}", "delete_eval", "Delete an eval and its runs."),
        ("POST", "/{eval_id}/runs", "create_eval_run", "Create a run of an eval.", SAMPLED),
        ("GET", "/{eval_id}/runs", "list_eval_runs", "List runs of an eval."),
    ),
    (CHAT, "/v1/evals/{eval_id}/runs/{run_id}", NO_MODELS): (
        ("GET", "", "get_eval_run", "Get a run of an eval."),
        ("POST", "", "cancel_eval_run", "Cancel a run of an eval.", STEERED_RUN),
        ("DELETE", "", "delete_eval_run", "Delete a run of an eval."),
        ("GET", "/output_items", "list_eval_items", "List output items of a run."),
        ("GET", "/output_items/{output_item_id}", "get_eval_item", "Get an output item of a run."),
    ),
    (CHAT, "/v1/batches", NO_MODELS): (
        ("POST", "", "create_batch", "Create a batch of requests."),
        ("GET", "", "list_batches", "List batches."),
        ("GET", "/{batch_id}", "get_batch", "Get a batch."),
        ("POST", "/{batch_id}/cancel", "cancel_batch", "Cancel a batch.", STEERED_BATCH),
    ),
    (BUDGETS, "/v1/budget", NO_MODELS): (
        ("GET", "", "get_budget", "Get the tenant's limits and use."),
        ("PUT", "", "put_budget", "Set the tenant's limits."),
    ),
    (LOGS, "/v1/logs", EVERY_MODEL): (
        ("GET", "", "list_logs", "List logged requests with their texts."),
        ("DELETE", "", "delete_logs", "Delete the texts of a user's logged requests."),
        ("GET", "/{request_id}", "get_log", "Get a logged request with its texts."),
    ),
    (USAGE, "/v1/usage", NO_MODELS): (("GET", "", "get_usage", "Get the tenant's usage."),),
    (USAGE, "/v1/organization/usage/completions", NO_MODELS): (
        ("GET", "", "get_organization_usage", "Get the tenant's usage, at OpenAI's path."),
    ),
    (WEBHOOKS, "/v1/webhooks", NO_MODELS): (
        ("POST", "", "register_webhook", "Register a webhook endpoint."),
        ("GET", "", "list_webhooks", "List webhook endpoints."),
    ),
    (WEBHOOKS, "/v1/webhooks/{webhook_id}", NO_MODELS): (
        ("GET", "", "get_webhook", "Get a webhook endpoint."),
        ("PATCH", "", "change_webhook", "Update a webhook endpoint."),
        ("DELETE", "", "delete_webhook", "Delete a webhook endpoint."),
        ("POST", "/rotate", "rotate_webhook", "Rotate a webhook endpoint's secret."),
        ("POST", "/test", "test_webhook", "Send a test event to a webhook endpoint."),
        (
            "GET",
            "/deliveries",
            "list_webhook_deliveries",
            "List delivery attempts of a webhook endpoint.",
        ),
    ),
    (KEYS, "/v1", NO_MODELS): (
        ("GET", "/audit", "list_changes", "List the audit log of changes."),
        ("POST", "/keys", "issue_key", "Create an API key.", OF_KEY),
        ("GET", "/keys", "list_keys", "List API keys."),
        ("GET", "/keys/{key_id}", "get_key", "Get an API key's record."),
        ("PATCH", "/keys/{key_id}", "change_key", "Update an API key.", OF_KEY),
        ("DELETE", "/keys/{key_id}", "revoke_key", "Revoke an API key for good."),
        ("POST", "/keys/{key_id}/rotate", "rotate_key", "Rotate an API key's secret."),
    ),
    (OPERATOR, "/v1/status", NO_MODELS): (
        ("GET", "", "get_status", "Get the status of services, jobs and streams."),
    ),
    (OPERATOR, "/v1/capacity", NO_MODELS): (
        ("GET", "", "get_capacity", "Get what each part could take, and takes now."),
    ),
    (OPERATOR, "/v1/findings", NO_MODELS): (
        ("GET", "", "list_findings", "List what is wrong, and what to do about it."),
    ),
    (OPERATOR, "/v1/alerts", NO_MODELS): (
        ("GET", "", "list_alerts", "List alerts that fire or are about to."),
    ),
    (OPERATOR, "/v1/tenants", NO_MODELS): (
        ("POST", "", "register_tenant", "Create a tenant."),
        ("GET", "", "list_tenants", "List tenants."),
        ("GET", "/{tenant}", "get_tenant", "Get a tenant with its limits and use."),
        ("PUT", "/{tenant}/limits", "limit_tenant", "Set a tenant's limits."),
        ("POST", "/{tenant}/suspend", "suspend_tenant", "Suspend a tenant."),
        ("POST", "/{tenant}/resume", "resume_tenant", "Resume a suspended tenant."),
        ("GET", "/{tenant}/export", "export_tenant", "Download all that a tenant has."),
        ("DELETE", "/{tenant}", "delete_tenant", "Delete a tenant with all that it has."),
    ),
}
"""By scope, beginning of the path, and the models that the rows name: who adds one has to say.

Without a scope a credential is enough, whatever it grants.
"""

_BODILESS = ("cancel_", "pause_", "resume_", "rotate_", "stop_", "suspend_", "test_")
"""How the names of routes begin that act on what their path names and take no body."""
_UPLOADS = ("upload_file", "add_upload_part")


def _rows() -> Iterator[Route]:
    for row in _OPEN:
        method, path, name, summary = row[:4]
        yield Route(name, method, path, None, summary, NO_MODELS, is_open=True)
    for (scope, prefix, models), rows in _TABLE.items():
        for row in rows:
            method, rest, name, summary = row[:4]
            path, own = prefix + rest, row[4] if len(row) == 5 else models
            dialect = Dialect.ANTHROPIC if path.startswith("/v1/messages") else Dialect.OPENAI
            yield Route(name, method, path, scope, summary, own, _body(method, name), dialect)


def _body(method: str, name: str) -> Body:
    if name in _UPLOADS:
        return Body.UPLOAD
    is_bodiless = method in ("GET", "DELETE") or name.startswith(_BODILESS)
    return Body.NONE if is_bodiless else Body.JSON


ROUTES = tuple(_rows())

ANSWERING = frozenset(
    {
        *("generate", "chat", "complete", "respond", "messages", "count_tokens", "embed"),
        *("moderate", "record_feedback", "preview_dataset", "test_webhook"),
        *("estimate_fine_tuning", "estimate_optimization", "estimate_evaluation"),
        # The file is a change once its parts are joined.
        "add_upload_part",
    }
)
"""Routes with bodies that are answered and change nothing; a new route is taken for a change."""


HANDING_OUT = frozenset(
    {
        *("get_content", "export_tenant", "explain_row", "list_logs", "get_log"),
        *("list_unshared_rows", "list_evaluation_rows"),
    }
)
"""Routes that only read, and hand out what was stored: files, and rows as they are written."""


def is_recorded(route: Route) -> bool:
    """Whether who calls the route is written down: it changes something, or hands out rows."""
    return route.name in HANDING_OUT or (route.method != "GET" and route.name not in ANSWERING)


@dataclass(frozen=True)
class Match:
    """What the table says of a path: the route, or the methods that the path does take."""

    route: Route | None
    allowed: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    """What stands at the named places of the path."""


_EXACT = {(r.method, r.path): r for r in ROUTES if "{" not in r.path}


def _pattern(path: str) -> re.Pattern[str]:
    """What a path with places means: one segment each, `:path` what is left."""
    rest = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", rest))


_PATTERNS = [(_pattern(r.path), r) for r in ROUTES]


def match(method: str, path: str) -> Match:
    """Find the route of a request, by table alone."""
    if exact := _EXACT.get((method, path)):
        return Match(exact)
    on_path = [(found, row) for pattern, row in _PATTERNS if (found := pattern.fullmatch(path))]
    for found, row in on_path:
        if row.method == method:
            return Match(row, places=found.groupdict())
    return Match(None, tuple(row.method for _, row in on_path))
