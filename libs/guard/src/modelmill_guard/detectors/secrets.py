"""Secrets: keys, tokens and passwords.

The shadow copy has no case, so checksums over case cannot be proven here.
"""

import re
from collections import Counter
from math import log2

from modelmill_guard.detectors.verified import detector, detector_of_part

_LEAST_BITS_A_CHARACTER = 3.0
"""Sixteen random hexadecimal digits have more in nine of ten cases; words and paths have less."""
_VALUE = re.compile(r"[:=] ?[\"']?([^ \"':=]+=*)[\"']?$")


def entropy(text: str) -> float:
    """Shannon's, of the characters as they are, in bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * log2(count / len(text)) for count in counts)


def looks_random(text: str) -> bool:
    """Letters and digits without an order that a word or a path would have."""
    digits = sum(character.isdigit() for character in text)
    letters = sum(character.isalpha() for character in text)
    return digits >= 2 and letters >= 2 and entropy(text) >= _LEAST_BITS_A_CHARACTER


def is_jwt(text: str) -> bool:
    """Parts of base64url have no remainder of one."""
    header, payload, *_ = text.split(".")
    return len(header) % 4 != 1 and len(payload) > 0


def is_openai_key(text: str) -> bool:
    """Random from some place on: hyphenated words also begin with "sk-"."""
    return looks_random(text.removeprefix("sk-"))


def secret_value(text: str) -> int | None:
    """Where the value of `key=value` begins, if it looks random."""
    value = _VALUE.search(text)
    return value.start(1) if value and looks_random(value[1]) else None


AWS_KEY = detector(r"\b(?:akia|asia|abia|acca)[a-z2-7]{16}\b")
GITHUB_TOKEN = detector(r"\b(?:gh[pousr]_[a-z0-9]{36}|github_pat_[a-z0-9]{22}_[a-z0-9]{59})\b")
HIGH_ENTROPY = detector_of_part(
    r"(?:key|token|secret|passwd|password|pwd|credential|密钥|密码|口令|令牌)"
    r"[\"']? ?[:=] ?[\"']?[a-z0-9+/_.~-]{16,128}={0,2}",
    secret_value,
)
JWT = detector(r"\beyj[a-z0-9_-]{8,80}\.eyj[a-z0-9_-]{8,100}(?:\.[a-z0-9_-]{0,60})?", is_jwt)
OPENAI_KEY = detector(r"\bsk-[a-z0-9_-]{20,200}", is_openai_key)
PRIVATE_KEY = detector(r"-----begin (?:[a-z0-9]{2,12} ){0,3}private key(?: block)?-----")
