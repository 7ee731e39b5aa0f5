"""Data-prep and the guard know the same secrets, from the list in `modelmill_pii.secrets`."""

import pytest
from modelmill_data_prep.domain.entities.rule_finder import RuleFinder
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.detectors import DETECTOR_NAMES
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction
from modelmill_pii.secrets import SECRET_FORMATS

RULE = "{{id: {0}, category: pii, severity: low, action: mask, directions: both, detector: {0}}}"
BY_CONTEXT = "high-entropy-secret"
"""The guard also takes a random value after a name such as `key=` for a secret."""

EXAMPLES = [
    ("aws-key", "AKIAIOSFODNN7ABCDEFG"),
    ("aws-key", "ACCAIOSFODNN7ABCDEFG"),
    ("aliyun-key", "LTAI5tQ7mZ81xTvB0aW7e"),
    ("tencent-key", "AKIDz8krbsJ5yKBZQpn74WFkmLPx3"),
    ("google-api-key", "AIzaSyD4f9Kq2LmZ81xTvB0aW7eR6yU3iO5pA1s"),
    ("github-token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ("github-token", "github_pat_11ABCDEFG0aBcDeFgHiJkL_" + "a1B2c3D4" * 7 + "xYz"),
    ("gitlab-token", "glpat-4f9Kq2LmZ81xTvB0aW7e"),
    ("huggingface-token", "hf_4f9Kq2LmZ81xTvB0aW7eR6yU3iO5pA"),
    ("npm-token", "npm_4f9Kq2LmZ81xTvB0aW7eR6yU3iO5pA1sD8fG"),
    ("openai-key", "sk-proj-4f9Kq2LmZ81xTvB0aW7e"),
    ("slack-token", "xoxb-2401-4f9Kq2LmZ81xTvB0aW7e"),
    ("stripe-key", "rk_live_4f9Kq2LmZ81xTvB0aW7e"),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36"),
    (
        "private-key",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----",
    ),
    (
        "private-key",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQVYBF8\n-----END PGP PRIVATE KEY BLOCK-----",
    ),
]
NAMES = {name for name, _ in EXAMPLES}


def policy_of(name: str) -> CompiledPolicy:
    bundle = compile_policy(parse_policy({"test": f"rules:\n- {RULE.format(name)}"}))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


@pytest.mark.parametrize(("name", "secret"), EXAMPLES)
def test_a_secret_is_found_by_data_prep_and_by_the_guard(name: str, secret: str) -> None:
    text = f"use {secret} here"

    [spans] = RuleFinder()([text])
    verdict = policy_of(name).check(text, Direction.OUTPUT)

    assert [text[span.start : span.end] for span in spans if span.type == "secret"] == [secret]
    assert verdict.matches
    assert "*" * 20 in verdict.text


def test_each_secret_format_is_a_detector_of_the_guard_and_has_an_example() -> None:
    formats = {secret.name for secret in SECRET_FORMATS} | {"jwt", "private-key"}

    assert formats == NAMES
    assert formats <= set(DETECTOR_NAMES) - {BY_CONTEXT}
