"""The rows of the route table that order, show and steer jobs."""

from modelmill_gateway.domain import access
from modelmill_gateway.domain.model_names import NO_MODELS, ONE_MODEL, ModelNames, Reach
from modelmill_gateway.domain.route import Route, route

TUNING = "/v1/fine_tuning/jobs"
BATCH = "/v1/batches/{batch_id}"
EVAL = "/v1/evals/{eval_id}"
RUN = f"{EVAL}/runs/{{run_id}}"

TRAINED = ModelNames(("model", "teacher", "suffix"))
"""The suffix is what the tuned model is called: a name that others may be asking for already."""
MEASURED = ModelNames(("model", "compare_to"))
GRADERS = ModelNames(("testing_criteria.model",))
SAMPLED = ModelNames(("data_source.model",), "eval_id", reach=Reach.EVAL)
STEERED = ModelNames(path="job_id", reach=Reach.JOB)
STEERED_BATCH = ModelNames(path="batch_id", reach=Reach.JOB)
STEERED_RUN = ModelNames(path="run_id", reach=Reach.JOB)


def _actions(path: str, what: str) -> tuple[Route, ...]:
    """Ways to steer the jobs at `path`; none of them takes a body."""
    said = {
        "cancel": "Cancel a job for good.",
        "pause": "Pause a job; its worker saves a checkpoint.",
        "resume": "Resume a paused or failed job.",
    }
    return tuple(
        Route(
            f"{action}_{what}", "POST", f"{path}/{{job_id}}/{action}", access.JOBS, summary, STEERED
        )
        for action, summary in said.items()
    )


JOB_ROUTES = (
    route("POST", TUNING, "create_fine_tuning", access.JOBS, "Create a fine-tuning job.", TRAINED),
    route("GET", TUNING, "list_fine_tuning", access.JOBS, "List fine-tuning jobs.", NO_MODELS),
    route(
        "GET",
        f"{TUNING}/{{job_id}}",
        "get_fine_tuning",
        access.JOBS,
        "Get a fine-tuning job.",
        NO_MODELS,
    ),
    route(
        "GET",
        f"{TUNING}/{{job_id}}/events",
        "list_fine_tuning_events",
        access.JOBS,
        "List or stream events of a fine-tuning job.",
        NO_MODELS,
    ),
    route(
        "GET",
        f"{TUNING}/{{job_id}}/checkpoints",
        "list_fine_tuning_checkpoints",
        access.JOBS,
        "List checkpoints of a fine-tuning job.",
        NO_MODELS,
    ),
    *_actions(TUNING, "fine_tuning"),
    route(
        "POST",
        "/v1/optimizations",
        "create_optimization",
        access.JOBS,
        "Create a build of a smaller, faster form.",
        ONE_MODEL,
    ),
    route("GET", "/v1/optimizations", "list_optimizations", access.JOBS, "List builds.", NO_MODELS),
    route(
        "GET",
        "/v1/optimizations/{job_id}",
        "get_optimization",
        access.JOBS,
        "Get a build.",
        NO_MODELS,
    ),
    _actions("/v1/optimizations", "optimization")[0],
    route(
        "POST",
        "/v1/evaluations",
        "create_evaluation",
        access.JOBS,
        "Create an evaluation of a model.",
        MEASURED,
    ),
    route(
        "GET", "/v1/evaluations", "list_evaluations", access.JOBS, "List evaluations.", NO_MODELS
    ),
    route(
        "GET",
        "/v1/evaluations/{job_id}",
        "get_evaluation",
        access.JOBS,
        "Get an evaluation.",
        NO_MODELS,
    ),
    route(
        "GET",
        "/v1/evaluations/{job_id}/report",
        "get_evaluation_report",
        access.JOBS,
        "Get an evaluation's report as JSON, rows or HTML.",
        NO_MODELS,
    ),
    _actions("/v1/evaluations", "evaluation")[0],
    route("GET", "/v1/jobs", "list_jobs", access.JOBS, "List jobs of every kind.", NO_MODELS),
    route("GET", "/v1/jobs/{job_id}", "get_job", access.JOBS, "Get a job of any kind.", NO_MODELS),
    route(
        "GET",
        "/v1/jobs/{job_id}/events",
        "list_job_events",
        access.JOBS,
        "List or stream events of a job.",
        NO_MODELS,
    ),
    *_actions("/v1/jobs", "job"),
    route("POST", "/v1/evals", "create_eval", access.CHAT, "Create an eval.", GRADERS),
    route("GET", "/v1/evals", "list_evals", access.CHAT, "List evals.", NO_MODELS),
    route("GET", EVAL, "get_eval", access.CHAT, "Get an eval.", NO_MODELS),
    route("POST", EVAL, "change_eval", access.CHAT, "Update an eval.", NO_MODELS),
    route("DELETE", EVAL, "delete_eval", access.CHAT, "Delete an eval and its runs.", NO_MODELS),
    route(
        "POST", f"{EVAL}/runs", "create_eval_run", access.CHAT, "Create a run of an eval.", SAMPLED
    ),
    route("GET", f"{EVAL}/runs", "list_eval_runs", access.CHAT, "List runs of an eval.", NO_MODELS),
    route("GET", RUN, "get_eval_run", access.CHAT, "Get a run of an eval.", NO_MODELS),
    Route("cancel_eval_run", "POST", RUN, access.CHAT, "Cancel a run of an eval.", STEERED_RUN),
    route("DELETE", RUN, "delete_eval_run", access.CHAT, "Delete a run of an eval.", NO_MODELS),
    route(
        "GET",
        f"{RUN}/output_items",
        "list_eval_items",
        access.CHAT,
        "List output items of a run.",
        NO_MODELS,
    ),
    route(
        "GET",
        f"{RUN}/output_items/{{output_item_id}}",
        "get_eval_item",
        access.CHAT,
        "Get an output item of a run.",
        NO_MODELS,
    ),
    route(
        "POST", "/v1/batches", "create_batch", access.CHAT, "Create a batch of requests.", NO_MODELS
    ),
    route("GET", "/v1/batches", "list_batches", access.CHAT, "List batches.", NO_MODELS),
    route("GET", BATCH, "get_batch", access.CHAT, "Get a batch.", NO_MODELS),
    Route(
        "cancel_batch",
        "POST",
        f"{BATCH}/cancel",
        access.CHAT,
        "Cancel a batch.",
        STEERED_BATCH,
    ),
)
