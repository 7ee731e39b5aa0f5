"""Pseudonyms: keyed, deterministic, format-preserving replacements that belong to nobody."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping

from modelmill_pii.numbers import cn_id_check_digit, is_cn_credit_code

from modelmill_data_prep.domain.entities.recognisers import (
    PSEUDONYM_ROAD_CN,
    PSEUDONYM_STREET_US,
    digits_of,
    letters_and_digits_of,
    to_half_width,
)

_LETTER = re.compile("[A-Za-z]")
_DIGIT = re.compile("[0-9]")
_SECRET_PREFIX = re.compile("^(?:[a-z]{2,6}_(?:live_|pat_)?|[a-z]{2,5}-|[A-Z]{4}|eyJ)?")


class Pseudonymiser:
    """Replaces values by pseudonyms (HMAC); without the key they reveal nothing."""

    def __init__(self, key: bytes) -> None:
        """`key` is the secret; another key gives other pseudonyms.

        Raises:
            ValueError: The key is empty.
        """
        if not key:
            raise ValueError("a pseudonymiser needs a key")
        self._key = key

    def __call__(self, entity_type: str, value: str) -> str:
        """Pseudonym of a value; no rule detects it, and full-width forms map to the same one."""
        value = to_half_width(value)
        compact = _COMPACT.get(entity_type, str.strip)(value)
        seed = hmac.digest(
            self._key, f"{entity_type}\0{compact}".encode("utf-8", "replace"), "sha256"
        )
        return _MAKERS[entity_type](value, seed)


def _digits(seed: bytes, count: int) -> str:
    """`count` pseudo-random digits from a seed."""
    stream = b""
    while len(stream) * 2 < count:
        stream += hashlib.sha256(seed + len(stream).to_bytes(4, "big")).digest()
    return str(int.from_bytes(b"\1" + stream, "big"))[-count:] if count else ""


def _laid_out(value: str, digits: str) -> str:
    """`value` with its digits replaced, keeping separators."""
    rest = iter(digits)
    return _DIGIT.sub(lambda _: next(rest), value)


def _email(_value: str, seed: bytes) -> str:
    return f"user-{seed.hex()[:10]}@example.com"


def _phone(value: str, seed: bytes) -> str:
    """Unassigned prefixes: 100 for Chinese mobiles, country code 999, area code 000."""
    count = len(digits_of(value))
    if value.startswith("+"):
        prefix = "999"
    elif count == 11 and value[0] == "1":
        prefix = "100"
    else:
        prefix = "000"
    return _laid_out(value, prefix + _digits(seed, count - len(prefix)))


def _card(value: str, seed: bytes) -> str:
    """No card network uses prefix 99."""
    return _laid_out(value, "99" + _digits(seed, len(digits_of(value)) - 2))


def _cn_id(value: str, seed: bytes) -> str:
    """An unassigned region code and a wrong check digit."""
    first = "999999" + "19000101" + _digits(seed, 3)
    check_digit = "0" if cn_id_check_digit(first) != "0" else "1"
    return _laid_out(_LETTER.sub("0", value), first + check_digit)


def _cn_credit_code(value: str, seed: bytes) -> str:
    first = value[:2] + "999999" + _digits(seed, 9)
    return first + ("1" if is_cn_credit_code(f"{first}0") else "0")


def _iban(value: str, seed: bytes) -> str:
    """Check digits 00 are invalid."""
    count = len(_DIGIT.findall(value)) - 2
    return value[:2] + _LETTER.sub("X", _laid_out(value[2:], "00" + _digits(seed, count)))


def _us_ssn(value: str, seed: bytes) -> str:
    """SSNs never begin with 9."""
    return _laid_out(value, "9" + _digits(seed, 8))


def _uk_nino(value: str, seed: bytes) -> str:
    """No number is issued with the prefix ZZ."""
    return _laid_out("ZZ" + value[2:], _digits(seed, 6))


def _cn_passport(value: str, seed: bytes) -> str:
    """Letters of passports are not X."""
    return "X" + _digits(seed, len(value) - 1)


def _chat_account(_value: str, seed: bytes) -> str:
    return f"EXAMPLE-{seed.hex()[:10]}"


def _birth_date(value: str, seed: bytes) -> str:
    """A day of 1800 to 1899, as nobody alive has."""
    year, month, day = (1800 + seed[0] % 100, 1 + seed[1] % 12, 1 + seed[2] % 28)
    return f"{year}年{month}月{day}日" if "年" in value else f"{year}-{month:02d}-{day:02d}"


def _ip(value: str, seed: bytes) -> str:
    """Documentation networks."""
    if ":" in value:
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) | int.from_bytes(seed[:12], "big")))
    network = ("192.0.2", "198.51.100", "203.0.113")[seed[0] % 3]
    return f"{network}.{1 + seed[1] % 254}"


def _cn_plate(value: str, seed: bytes) -> str:
    """The letter I is not used for issuing offices."""
    return f"{value[0]}I{_digits(seed, 5)}"


def _address(value: str, seed: bytes) -> str:
    number = int.from_bytes(seed[:2], "big")
    return (
        f"{number} {PSEUDONYM_STREET_US} Street"
        if value[0].isascii()
        else f"{PSEUDONYM_ROAD_CN}{number}号"
    )


def _secret(value: str, seed: bytes) -> str:
    prefix = _SECRET_PREFIX.match(value)
    return f"{prefix.group() if prefix else ''}EXAMPLE{seed.hex()[:24]}"


def _url_credentials(_value: str, seed: bytes) -> str:
    return f"user:EXAMPLE{seed.hex()[:12]}@example.com"


def _person(_value: str, seed: bytes) -> str:
    return f"Person-{seed.hex()[:8].upper()}"


def _organisation(_value: str, seed: bytes) -> str:
    return f"Organisation-{seed.hex()[:8].upper()}"


def _compact_phone(value: str) -> str:
    """Drop the country code, so that both forms of a number get the same pseudonym."""
    digits = digits_of(value)
    return digits[2:] if len(digits) == 13 and digits.startswith("86") else digits


def _compact_code(value: str) -> str:
    return letters_and_digits_of(value).upper()


_COMPACT: Mapping[str, Callable[[str], str]] = {
    "email": str.lower,
    "phone": _compact_phone,
    "card": digits_of,
    "cn_id": _compact_code,
    "cn_credit_code": str.upper,
    "us_ssn": digits_of,
    "uk_nino": _compact_code,
    "iban": _compact_code,
}
"""Normalisation by type, so that notations of a value share a pseudonym."""

_MAKERS: Mapping[str, Callable[[str, bytes], str]] = {
    "secret": _secret,
    "url_credentials": _url_credentials,
    "email": _email,
    "iban": _iban,
    "cn_credit_code": _cn_credit_code,
    "cn_id": _cn_id,
    "card": _card,
    "us_ssn": _us_ssn,
    "uk_nino": _uk_nino,
    "cn_passport": _cn_passport,
    "passport": _cn_passport,
    "phone": _phone,
    "ip": _ip,
    "cn_plate": _cn_plate,
    "chat_account": _chat_account,
    "birth_date": _birth_date,
    "address": _address,
    "person": _person,
    "organisation": _organisation,
}
