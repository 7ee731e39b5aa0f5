"""Named detectors of personal data and secrets: a bounded pattern, and a proof of its match.

The shadow copy has no case, so checksums over case cannot be proven here.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from math import log2

from modelmill_pii.numbers import is_card, is_cn_credit_code, is_cn_id, is_iban, is_us_ssn
from modelmill_pii.secrets import PRIVATE_KEY_HEADER, SECRET_FORMATS, SecretFormat

from modelmill_guard.pattern import BoundedPattern, parse_pattern


@dataclass(frozen=True)
class Detector:
    """A bounded pattern that is parsed when it is asked for, which takes long, and a proof."""

    pattern: str
    verify: Callable[[str], int | None] | None
    """Where the part of a match begins that is found; None is no match."""

    def parsed(self) -> BoundedPattern:
        """The pattern, ready to be compiled into a policy."""
        shortens = self.pattern.endswith(r"\b")
        return replace(parse_pattern(self.pattern), verify=self.verify, shortens=shortens)


def detector(pattern: str, proof: Callable[[str], bool] | None = None) -> Detector:
    """A pattern whose matches count only where `proof` holds of the matched shadow text."""
    return Detector(pattern, None if proof is None else lambda text: _all_or_none(text, proof))


def _all_or_none(text: str, proof: Callable[[str], bool]) -> int | None:
    return 0 if proof(text) else None


def without_separators(text: str) -> str:
    """The match without the spaces and hyphens that people group it with."""
    return text.replace(" ", "").replace("-", "")


_UNALLOTTED_MOBILE = "142 143 154 160 161 163 164 168 169 179 194"
"""Beginnings that no operator has."""


def is_mobile(text: str) -> bool:
    """The first three digits belong to an operator."""
    return without_separators(text)[-11:-8] not in _UNALLOTTED_MOBILE


def is_passport(text: str) -> bool:
    """No check digit is printed on its number; only what nobody is given is left out."""
    return len(set(text[-7:])) > 1


ID_CARD = detector(
    r"\b[1-8]\d{5}[ -]?(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"[ -]?\d{3}[\dx]\b",
    is_cn_id,
)
MOBILE = detector(r"\b(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}\b", is_mobile)
PASSPORT = detector(r"\b(?:[eg]\d{8}|e[a-hj-np-z]\d{7}|[dps]e\d{7})\b", is_passport)
USCC = detector(r"\b[1-9ahjny][1-9]\d{6}[0-9a-hj-npqrtuwxy]{10}\b", is_cn_credit_code)


# Grouped as cards print it. Any grouping would find a "card" in every second table of figures, for
# one number in ten has a right check digit.
_GROUPED = r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?"

CARD_NUMBER = detector(rf"\b(?:\d{{13,19}}|{_GROUPED}|\d{{4}}[ -]\d{{6}}[ -]\d{{4,5}})\b", is_card)
CN_BANK_CARD = detector(
    r"\b62(?:\d{14,17}|\d{2}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{10,13})\b",
    is_card,
)
IBAN = detector(r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b", is_iban)


_IPV6_IN_USE = tuple(map(IPv6Network, ("2000::/3", "fc00::/7", "fe80::/10")))
"""Global, local to a site, local to a link; all begin with four digits, as times do not."""


def is_email(text: str) -> bool:
    """Dots and hyphens where names may have them (RFC 5321)."""
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    return (
        ".." not in local
        and not local.endswith(".")
        and not any(label.startswith("-") or label.endswith("-") for label in labels)
    )


def is_ip_address(text: str) -> bool:
    """An address of a machine: no version number, no time, not this machine itself."""
    return _is_ipv6(text) if ":" in text else _is_ipv4(text)


def _is_ipv4(text: str) -> bool:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    # Four single digits are a version or a section far more often than somebody's machine.
    return not (address.is_loopback or address.is_unspecified or len(text) == 7)


def _is_ipv6(text: str) -> bool:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return any(address in network for network in _IPV6_IN_USE)


EMAIL = detector(r"\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,40}\.){1,4}[a-z]{2,16}\b", is_email)
IP_ADDRESS = detector(
    r"\b(?:(?:\d{1,3}\.){3}\d{1,3}|[23f][0-9a-f]{3}(?:::?[0-9a-f]{1,4}){1,7})\b", is_ip_address
)
US_SSN = detector(r"\b\d{3}(?:-\d{2}-| \d{2} )\d{4}\b", is_us_ssn)


_LEAST_BITS_A_CHARACTER = 3.0
"""Sixteen random hexadecimal digits have more in nine of ten cases; words and paths have less."""
_UNMISTAKABLE = ("aws-key", "github-token")
"""Formats whose beginning and length are those of no word."""
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


def secret_detector(secret: SecretFormat) -> Detector:
    """The detector of a published format. Words may begin alike, so the rest must look random."""
    beginnings = [beginning.lower() for beginning in secret.beginnings]

    def is_random(text: str) -> bool:
        begun = max((each for each in beginnings if text.startswith(each)), key=len)
        return looks_random(text[len(begun) :])

    proof = None if secret.name in _UNMISTAKABLE else is_random
    return detector(rf"\b{secret.pattern.lower()}", proof)


def secret_value(text: str) -> int | None:
    """Where the value of `key=value` begins, if it looks random."""
    value = _VALUE.search(text)
    return value.start(1) if value and looks_random(value[1]) else None


HIGH_ENTROPY = Detector(
    r"(?:key|token|secret|passwd|password|pwd|credential|密钥|密码|口令|令牌)"
    r"[\"']? ?[:=] ?[\"']?[a-z0-9+/_.~-]{16,128}={0,2}",
    secret_value,
)
JWT = detector(r"\beyj[a-z0-9_-]{8,80}\.eyj[a-z0-9_-]{8,100}(?:\.[a-z0-9_-]{0,60})?", is_jwt)
PRIVATE_KEY = detector(PRIVATE_KEY_HEADER.lower())

_DETECTORS: dict[str, Detector] = {
    "cn-id-card": ID_CARD,
    "cn-mobile": MOBILE,
    "cn-bank-card": CN_BANK_CARD,
    "cn-passport": PASSPORT,
    "uscc": USCC,
    "card-number": CARD_NUMBER,
    "iban": IBAN,
    "us-ssn": US_SSN,
    "email": EMAIL,
    "ip-address": IP_ADDRESS,
    "jwt": JWT,
    "private-key": PRIVATE_KEY,
    "high-entropy-secret": HIGH_ENTROPY,
    **{secret.name: secret_detector(secret) for secret in SECRET_FORMATS},
}

DETECTOR_NAMES = tuple(sorted(_DETECTORS))
"""What a rule's `detector` may say. What a name finds changes only with the bundle's format."""


@cache
def detector_pattern(name: str) -> BoundedPattern:
    """The pattern of a detector; KeyError for a name that is not in `DETECTOR_NAMES`."""
    return _DETECTORS[name].parsed()
