"""Formats of secrets that their issuers publish: how one begins, and what follows.

The guard's detectors and data-prep's entities are made from this list, so both know the same
formats. A guard reads text without case and must bound what it holds back, so no format is longer
than 256 characters. JSON web tokens and private keys are longer: each reader bounds them itself.
"""

from dataclasses import dataclass

PRIVATE_KEY_HEADER = "-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
"""First line of a private key in PEM or OpenPGP armour, as a pattern."""


@dataclass(frozen=True)
class SecretFormat:
    """Format of one issuer's secrets."""

    name: str
    beginnings: tuple[str, ...]
    """Every secret begins with one of these, so that a reader can search for them first."""
    rest: str
    """Pattern of what follows, in the syntax that RE2 and Python share."""

    @property
    def pattern(self) -> str:
        return f"(?:{'|'.join(self.beginnings)}){self.rest}"


SECRET_FORMATS = (
    SecretFormat("aws-key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"[A-Z2-7]{16}\b"),
    SecretFormat("aliyun-key", ("LTAI",), "[0-9A-Za-z]{12,24}"),
    SecretFormat("tencent-key", ("AKID",), "[0-9A-Za-z]{13,40}"),
    SecretFormat("google-api-key", ("AIza",), "[0-9A-Za-z_-]{35}"),
    SecretFormat(
        "github-token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"[A-Za-z0-9_]{36,240}\b",
    ),
    SecretFormat("gitlab-token", ("glpat-",), "[0-9A-Za-z_-]{20,64}"),
    SecretFormat("huggingface-token", ("hf_",), "[A-Za-z0-9]{30,64}"),
    SecretFormat("npm-token", ("npm_",), "[A-Za-z0-9]{36}"),
    SecretFormat("openai-key", ("sk-",), "[A-Za-z0-9_-]{20,200}"),
    SecretFormat(
        "slack-token", ("xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-"), "[A-Za-z0-9-]{10,200}"
    ),
    SecretFormat("stripe-key", ("sk_live_", "rk_live_"), "[0-9A-Za-z]{16,128}"),
)
