"""Prometheus metrics of the gateway: everything is counted once per request, nothing per token."""

from prometheus_client import Counter, Gauge, Histogram

HTTP_REQUESTS = Counter(
    "modelmill_http_requests", "HTTP requests that were answered.", ["route", "status"]
)
HTTP_SECONDS = Histogram(
    "modelmill_http_request_seconds",
    "Seconds from an HTTP request's headers to the end of its answer.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
ACTIVE_STREAMS = Gauge("modelmill_active_streams", "Answers being streamed over HTTP.")
SLOW_CLIENTS = Counter(
    "modelmill_http_cut",
    "Connections that were cut: for a slow head, body or answer, bad HTTP, or as one too many.",
    ["why"],
)
for _why in ("head", "body", "answer", "malformed", "full"):
    SLOW_CLIENTS.labels(_why)
ADMISSION_REFUSED = Counter(
    "modelmill_answers_refused", "Answers that were not begun, because there was no room in time."
)
ADMISSION_WAITING = Gauge("modelmill_answers_waiting", "Requests that wait for room.")
ADMISSION_WAIT_SECONDS = Histogram(
    "modelmill_answer_wait_seconds",
    "Seconds that requests waited for room before they were begun; 0 for those that had not to.",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
TOKENS_IN_HAND = Gauge(
    "modelmill_answer_tokens_in_hand", "What requests in hand may come to, prompts and answers."
)
TOKENS_LIMIT = Gauge(
    "modelmill_answer_tokens_limit", "What they may come to; 0 where there is no limit."
)
INFERENCE_RETRIES = Counter(
    "modelmill_inference_retries", "Times that inference was asked again, before the first piece."
)
INFERENCE_LEFT_ALONE = Gauge(
    "modelmill_inference_left_alone",
    "Addresses of inference that are not asked now, because nobody answered there.",
)
FALLBACKS = Counter(
    "modelmill_fallbacks", "Times that a version could not begin and another was asked instead."
)
SHADOWS = Counter("modelmill_shadows", "Copies of requests for shadows, by outcome.", ["outcome"])
for _outcome in ("answered", "failed", "dropped"):
    SHADOWS.labels(_outcome)
SHADOW_SECONDS = Histogram(
    "modelmill_shadow_seconds",
    "Seconds of a shadow's whole answer.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
FIRST_TEXT_SECONDS = Histogram(
    "modelmill_first_text_seconds",
    "Seconds from a request's arrival to the first text that the guard released.",
    ["model"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
"""`model` is what the caller asked for: an alias, a name or a version id that exists."""
BLOCKED = Counter(
    "modelmill_blocked", "Texts that the policy stopped, by which way they went.", ["direction"]
)
WEBHOOK_DELIVERIES = Counter(
    "modelmill_webhook_deliveries",
    "Attempts to deliver webhooks, by what came of them.",
    ["outcome"],
)
USAGE_DROPPED = Counter("modelmill_usage_dropped", "Usage records that were lost.")
LOG_DROPPED = Counter("modelmill_log_dropped", "Requests that were to be logged and were not.")
USAGE_SPILLED = Gauge(
    "modelmill_usage_spilled_bytes",
    "Bytes of usage records that wait on disk until the bus takes them.",
)
CHANGES_DROPPED = Counter(
    "modelmill_changes_dropped",
    "Records of who changed what that were lost, because the bus was away for too long.",
)
FEEDBACK = Counter(
    "modelmill_feedback", "What people said of answers and verdicts, by its report.", ["report"]
)
for _report in ("false_positive", "missed", "none"):
    FEEDBACK.labels(_report)
MODERATION_SPARED = Counter(
    "modelmill_moderation_spared", "Times that moderation was not asked, because it hung just now."
)
RULES_ALONE = Counter(
    "modelmill_rules_alone", "Inputs that were judged without moderation, as their policy allows."
)
UNJUDGED_WINDOWS = Counter(
    "modelmill_unjudged_windows",
    "Windows of answers that passed without a judge's opinion, as their policy allows.",
)
BATCH_REQUESTS = Counter(
    "modelmill_batch_requests",
    "Requests of batches: answered, refused, or waited because there was no room.",
    ["outcome"],
)
for _outcome in ("answered", "refused", "waited"):
    BATCH_REQUESTS.labels(_outcome)
QUOTA_REQUESTS = Counter("modelmill_quota_requests", "Requests of callers with limits.")
QUOTA_WAITS = Counter(
    "modelmill_quota_waits", "Requests of callers with limits that had to wait for the bus."
)
QUOTA_REFUSED = Counter(
    "modelmill_quota_refused", "Requests that limits refused, by what was exceeded.", ["reason"]
)
"""`unknown` is a doubt, answered 503; all others are facts, answered 429."""
QUOTA_SETTLED = Counter("modelmill_quota_settled_tokens", "Tokens that limited requests used.")
QUOTA_BOUNDS_BROKEN = Counter(
    "modelmill_quota_bounds_broken", "Requests that used more tokens than was reserved for them."
)
QUOTA_LEASES = Gauge("modelmill_quota_leases", "Budgets of which this process has a lease.")
for _reason in ("requests", "minute_tokens", "parallel", "tokens", "micros", "unknown"):
    QUOTA_REFUSED.labels(_reason)
