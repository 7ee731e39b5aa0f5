"""Prometheus figures of serving; those of OpenTelemetry's GenAI conventions under their names.

`error_type` is empty unless the service was at fault or full; a caller that leaves is no error.
"""

from prometheus_client import Counter, Gauge, Histogram

PROVIDER = "modelmill"
UNKNOWN_MODEL = "_OTHER"
"""Model of requests for versions that do not exist: callers must not make up label values."""

_REQUEST_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

REQUEST_SECONDS = Histogram(
    "gen_ai_server_request_duration_seconds",
    "Seconds from a request's arrival to its last token or its error.",
    (*_REQUEST_LABELS, "error_type"),
    buckets=(
        *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
        # The conventions end here; long answers do not.
        *(163.84, 327.68, 655.36),
    ),
)
FIRST_TOKEN_SECONDS = Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "Seconds from a request's arrival to its first token.",
    _REQUEST_LABELS,
    buckets=(
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
        *(1, 2.5, 5, 7.5, 10, 30, 60),
    ),
)
OUTPUT_TOKEN_SECONDS = Histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Seconds per token after the first, of answers that came to their end.",
    _REQUEST_LABELS,
    buckets=(
        # The conventions begin at 10 ms, which small models stay well below.
        *(0.0005, 0.001, 0.0025, 0.005),
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5),
    ),
)
GENERATIONS = Counter(
    "modelmill_generations",
    "Generations that ended, by how: stop, length, cancelled, or the reason of the refusal.",
    ["outcome"],
)
PROMPT_TOKENS = Counter(
    "modelmill_prompt_tokens", "Tokens of the prompts that engines were given.", ["version"]
)
GENERATED_TOKENS = Counter(
    "modelmill_generated_tokens", "Tokens that requests were answered with.", ["version"]
)
ACCEPTED_TOKENS = Counter(
    "modelmill_accepted_draft_tokens",
    "Of the generated tokens, those that prompt lookup drafted and the model accepted.",
    ["version"],
)
IN_FLIGHT = Gauge(
    "modelmill_requests_in_flight", "Requests admitted and not ended, loads included.", ["version"]
)
QUEUED = Gauge(
    "modelmill_requests_queued",
    "Those in flight that have no token yet: the version loads, or the engine has others in hand.",
    ["version"],
)
ADMITTED_TOKENS = Gauge(
    "modelmill_admitted_tokens",
    "Of the budget of tokens in flight, what running requests hold.",
    ["version"],
)
TOKENIZER_PROCESSES = Gauge(
    "modelmill_tokenizer_processes", "Processes in which chat templates and tokenizers run."
)
TOKENIZER_STOPS = Counter(
    "modelmill_tokenizer_stops",
    "Requests whose chat template or tokenizer passed a limit, and cost a process.",
)
TOKENIZER_REFUSALS = Counter(
    "modelmill_tokenizer_refusals",
    "Requests refused because chat template or tokenizer passed a limit before.",
)
TOKENIZER_CPU = Counter(
    "modelmill_tokenizer_cpu_seconds", "CPU time of chat templates and tokenizers that ended well."
)
TOKENIZER_WAIT = Histogram(
    "modelmill_tokenizer_wait_seconds",
    "Seconds that requests waited for a process for their chat template and tokenizer.",
    buckets=(0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
)
REFUSALS = Counter(
    "modelmill_refusals",
    "Requests that were not let to their engine, by reason.",
    ["reason"],
)
WAIT_SECONDS = Histogram(
    "modelmill_admission_wait_seconds",
    "Seconds that requests waited for their turn at the engine, of those that had it.",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
ENGINE_TOKENS = Counter(
    "modelmill_engine_tokens",
    "Tokens that engines generated, those of warming up and of abandoned requests included.",
    ["engine"],
)
ENGINE_RESTARTS = Counter(
    "modelmill_engine_restarts", "Engine processes that died and were replaced."
)
RESUMED = Counter(
    "modelmill_requests_resumed", "Requests whose engine died under them, and that went on."
)
CASCADES = Counter(
    "modelmill_cascade_answers", "Answers of cascades, by the model that gave them.", ["model"]
)
MODELS_LOADED = Gauge("modelmill_models_loaded", "Versions loaded and warm.")
VERSION_BYTES = Gauge(
    "modelmill_version_memory_bytes",
    "Memory that a loaded version holds: what was seen of it, and its key-value cache at most.",
    ["version"],
)
FREE_BYTES = Gauge(
    "modelmill_machine_free_bytes",
    "Memory that was free, within control groups, when room for a version was last looked for.",
)


class TokenizerFigures:
    """`modelmill_tokenization.bounded.pool.Observer`: what happens to foreign code, as
    figures."""

    def running(self, processes: int) -> None:
        TOKENIZER_PROCESSES.set(processes)

    def waited(self, seconds: float) -> None:
        TOKENIZER_WAIT.observe(seconds)

    def worked(self, cpu_seconds: float) -> None:
        TOKENIZER_CPU.inc(cpu_seconds)

    def stopped(self) -> None:
        TOKENIZER_STOPS.inc()

    def refused(self) -> None:
        TOKENIZER_REFUSALS.inc()
