"""Prometheus figures of serving."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "modelmill_inference_requests",
    "Generations that ended, by how: stop, length, cancelled, or the reason of the refusal.",
    ["outcome"],
)
FIRST_TOKEN_SECONDS = Histogram(
    "modelmill_inference_first_token_seconds",
    "Seconds from a request's arrival to its first token.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
TOKENS_GENERATED = Counter(
    "modelmill_inference_tokens_generated", "Tokens that engines generated.", ["engine"]
)
IN_FLIGHT = Gauge(
    "modelmill_inference_in_flight", "Requests admitted and not ended, loads included."
)
ENGINE_RESTARTS = Counter(
    "modelmill_inference_engine_restarts",
    "Engine processes that died and were replaced.",
    ["engine"],
)
LOADED_VERSIONS = Gauge("modelmill_inference_loaded_versions", "Versions loaded and warm.")
