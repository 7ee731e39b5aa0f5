"""How programs call the gateway: what every route has in common."""

EXAMPLE = """\
from openai import OpenAI

client = OpenAI(base_url="https://HOST/v1", api_key="mm-...")
answer = client.chat.completions.create(
    model="NAME",  # client.models.list() lists what the key may ask for
    messages=[{"role": "user", "content": "hello"}],
)
print(answer.choices[0].message.content)"""
HEADERS = {
    "x-request-timeout": "Sent: seconds after which the request is given up (504).",
    "x-modelmill-sticky": "Sent: a text whose requests the same variant of an alias answers.",
    "x-request-id": "Received: id of the request, also of a refused one; logs and usage have it.",
    "x-model-version": "Received: the version that answered.",
    "x-ratelimit-limit-requests, x-ratelimit-remaining-tokens, ...": (
        "Received: limits of the key or its tenant, as OpenAI names them, and what is left."
    ),
    "Retry-After": "Received with 429 and 503: seconds to wait.",
}
"""Headers that many routes take or send."""
TEXTS = (
    "The base URL of OpenAI's clients is this address with `/v1` behind it; that of Anthropic's"
    " is the address alone.",
    "A refusal has an `error` with `message`, `type`, `param`, `code` and `request_id`, and"
    " `errors` where several things are wrong at once. Programs go by `code`.",
)


def markdown() -> str:
    """For the description of the OpenAPI document."""
    headers = "\n".join(f"- `{name}`: {words}" for name, words in HEADERS.items())
    return f"{TEXTS[0]}\n\n```python\n{EXAMPLE}\n```\n\n{headers}\n\n{TEXTS[1]}\n"
