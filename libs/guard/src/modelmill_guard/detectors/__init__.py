"""Named detectors of personal data and secrets: a bounded pattern, and a proof of its match."""

from modelmill_guard.detectors import china, money, network, secrets
from modelmill_guard.pattern import BoundedPattern

_DETECTORS: dict[str, BoundedPattern] = {
    "cn-id-card": china.ID_CARD,
    "cn-mobile": china.MOBILE,
    "cn-bank-card": money.CN_BANK_CARD,
    "cn-passport": china.PASSPORT,
    "uscc": china.USCC,
    "card-number": money.CARD_NUMBER,
    "iban": money.IBAN,
    "us-ssn": network.US_SSN,
    "email": network.EMAIL,
    "ip-address": network.IP_ADDRESS,
    "jwt": secrets.JWT,
    "aws-key": secrets.AWS_KEY,
    "github-token": secrets.GITHUB_TOKEN,
    "openai-key": secrets.OPENAI_KEY,
    "private-key": secrets.PRIVATE_KEY,
    "high-entropy-secret": secrets.HIGH_ENTROPY,
}

DETECTOR_NAMES = tuple(sorted(_DETECTORS))
"""What a rule's `detector` may say. What a name finds changes only with the bundle's format."""


def detector_pattern(name: str) -> BoundedPattern:
    """The pattern of a detector; KeyError for a name that is not in `DETECTOR_NAMES`."""
    return _DETECTORS[name]
