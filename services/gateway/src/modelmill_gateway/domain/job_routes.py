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


def _wishes(path: str, what: str) -> tuple[Route, ...]:
    """Ways to steer the jobs at `path`; none of them takes a body."""
    said = {
        "cancel": "Ask the job to stop for good.",
        "pause": "Ask the job to save and to free its worker.",
        "resume": "Let a paused job go on, or run a failed one again.",
    }
    return tuple(
        Route(f"{wish}_{what}", "POST", f"{path}/{{job_id}}/{wish}", access.JOBS, summary, STEERED)
        for wish, summary in said.items()
    )


JOB_ROUTES = (
    route("POST", TUNING, "create_fine_tuning", access.JOBS, "Train a model.", TRAINED),
    route("GET", TUNING, "list_fine_tuning", access.JOBS, "Training jobs.", NO_MODELS),
    route("GET", f"{TUNING}/{{job_id}}", "get_fine_tuning", access.JOBS, "One of them.", NO_MODELS),
    route(
        "GET",
        f"{TUNING}/{{job_id}}/events",
        "list_fine_tuning_events",
        access.JOBS,
        "What happened to a training job, as a page or as a stream.",
        NO_MODELS,
    ),
    route(
        "GET",
        f"{TUNING}/{{job_id}}/checkpoints",
        "list_fine_tuning_checkpoints",
        access.JOBS,
        "What a training job has saved.",
        NO_MODELS,
    ),
    *_wishes(TUNING, "fine_tuning"),
    route(
        "POST",
        "/v1/optimizations",
        "create_optimization",
        access.JOBS,
        "Build a faster form.",
        ONE_MODEL,
    ),
    route("GET", "/v1/optimizations", "list_optimizations", access.JOBS, "Builds.", NO_MODELS),
    route(
        "GET",
        "/v1/optimizations/{job_id}",
        "get_optimization",
        access.JOBS,
        "One of them.",
        NO_MODELS,
    ),
    _wishes("/v1/optimizations", "optimization")[0],
    route(
        "POST", "/v1/evaluations", "create_evaluation", access.JOBS, "Measure a model.", MEASURED
    ),
    route("GET", "/v1/evaluations", "list_evaluations", access.JOBS, "Evaluations.", NO_MODELS),
    route(
        "GET", "/v1/evaluations/{job_id}", "get_evaluation", access.JOBS, "One of them.", NO_MODELS
    ),
    route(
        "GET",
        "/v1/evaluations/{job_id}/report",
        "get_evaluation_report",
        access.JOBS,
        "What it found: figures as JSON, or with format=rows or html each row or a page.",
        NO_MODELS,
    ),
    _wishes("/v1/evaluations", "evaluation")[0],
    route("GET", "/v1/jobs", "list_jobs", access.JOBS, "Jobs of every kind.", NO_MODELS),
    route("GET", "/v1/jobs/{job_id}", "get_job", access.JOBS, "One job of any kind.", NO_MODELS),
    route(
        "GET",
        "/v1/jobs/{job_id}/events",
        "list_job_events",
        access.JOBS,
        "What happened to a job, as a page or as a stream.",
        NO_MODELS,
    ),
    *_wishes("/v1/jobs", "job"),
    route("POST", "/v1/evals", "create_eval", access.CHAT, "Say how answers are graded.", GRADERS),
    route("GET", "/v1/evals", "list_evals", access.CHAT, "The tenant's evals.", NO_MODELS),
    route("GET", EVAL, "get_eval", access.CHAT, "One eval.", NO_MODELS),
    route("POST", EVAL, "change_eval", access.CHAT, "Give it another name.", NO_MODELS),
    route("DELETE", EVAL, "delete_eval", access.CHAT, "Delete it and its runs.", NO_MODELS),
    route(
        "POST", f"{EVAL}/runs", "create_eval_run", access.CHAT, "Sample and grade rows.", SAMPLED
    ),
    route("GET", f"{EVAL}/runs", "list_eval_runs", access.CHAT, "Runs of an eval.", NO_MODELS),
    route("GET", RUN, "get_eval_run", access.CHAT, "One run.", NO_MODELS),
    Route("cancel_eval_run", "POST", RUN, access.CHAT, "Answer no more of it.", STEERED_RUN),
    route("DELETE", RUN, "delete_eval_run", access.CHAT, "Show it no more.", NO_MODELS),
    route(
        "GET", f"{RUN}/output_items", "list_eval_items", access.CHAT, "Rows of a run.", NO_MODELS
    ),
    route(
        "GET",
        f"{RUN}/output_items/{{output_item_id}}",
        "get_eval_item",
        access.CHAT,
        "One row, its answer and its grades.",
        NO_MODELS,
    ),
    route(
        "POST", "/v1/batches", "create_batch", access.CHAT, "Answer a file of requests.", NO_MODELS
    ),
    route("GET", "/v1/batches", "list_batches", access.CHAT, "The tenant's batches.", NO_MODELS),
    route("GET", BATCH, "get_batch", access.CHAT, "One batch.", NO_MODELS),
    Route(
        "cancel_batch",
        "POST",
        f"{BATCH}/cancel",
        access.CHAT,
        "Answer no more of it.",
        STEERED_BATCH,
    ),
)
