"""Rule-based entity recognisers: a pattern, and a validity check such as a checksum.

Quantifiers are bounded and adjacent ones are disjoint, so that matching takes linear time on any
input (no catastrophic backtracking). A postal address needs a house number.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from modelmill_pii.numbers import (
    IBAN_LENGTHS,
    is_card,
    is_cn_credit_code,
    is_cn_id,
    is_iban,
    is_us_ssn,
)
from modelmill_pii.secrets import PRIVATE_KEY_HEADER, SECRET_FORMATS

_FIRST, _LAST = 0xFF01, 0xFF5E
_SHIFT = 0xFEE0
WIDE = tuple("０１２３４５６７８９＠")
"""Every full-width entity contains one of these characters."""

_MARKS = "＋－．＠＿"
"""Marks inside numbers and addresses; "：" and "，" only occur beside them."""

_PLAIN = {
    code: code - _SHIFT
    for code in range(_FIRST, _LAST + 1)
    if chr(code - _SHIFT).isalnum() or chr(code) in _MARKS
}


def to_half_width(text: str) -> str:
    """Convert character by character, so that positions stay."""
    return text.translate(_PLAIN)


_PLACE = "[^\\W\\d_A-Za-z在到是于的去从我住和与了有叫找位把给寄请发送址离近这那走过坐换条号]"
"""Character class of place names; excluded characters end a name."""

_CN_PLACE = re.compile(_PLACE)
_CN_HOUSE = re.compile(
    f"(?<={_PLACE})(?:路|街|大街|大道|巷|胡同|弄|村) ?[0-9]{{1,5}} ?(?:号(?![线机码段])|弄)院?"
    "(?:[0-9A-Z]{1,4}(?:号楼|幢|栋|座|单元|室|层|楼|户|号)){0,5}"
)
_CN_BEFORE = re.compile(
    f"(?:{_PLACE}{{2,8}}(?:省|自治区))?(?:{_PLACE}{{1,8}}(?:市|州|盟))?"
    f"(?:{_PLACE}{{1,8}}(?:区|县|旗))?(?:{_PLACE}{{1,8}}(?:镇|乡|街道))?{_PLACE}{{1,4}}$"
)
_CN_WINDOW = 40
"""Characters before the road that are searched for province, city and district."""

_STREET = re.compile(
    "(?<![0-9A-Za-z.$-])(?:(?:Flat|Apartment|Unit) [0-9]{1,4}[A-Z]?, )?"
    "[0-9]{1,5} (?:[NSEW]\\.? )?"
    "(?:[A-Z][a-z]{1,20} |[0-9]{1,3}(?:st|nd|rd|th) ){1,4}"
    "(?:Street|Avenue|Road|Boulevard|Lane|Drive|Court|Terrace|Parkway"
    "|(?:St|Ave|Rd|Blvd|Ln|Dr|Ct)(?![A-Za-z])\\.?)(?![A-Za-z]| [A-Z][a-z])"
    "(?:,? (?:Apt|Suite|Ste|Unit)\\.? ?#?[0-9A-Z]{1,6})?"
    "(?:, [A-Z][A-Za-z]{1,20}(?: [A-Z][a-z]{1,20}){0,2}"
    "(?:,? [A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2}|, [A-Z]{2}(?: [0-9]{5}(?:-[0-9]{4})?)?))?"
)

PSEUDONYM_ROAD_CN = "示例路"
PSEUDONYM_STREET_US = "Example"


CN_ADDRESS_HINT = re.compile("[路街道巷同弄村] ?[0-9]")
ENGLISH_ADDRESS_HINT = re.compile("[0-9] [A-Z0-9]")
"""Hints: cheap patterns that match every text with such an address."""


def find_chinese_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Spans of Chinese addresses with road and house number."""
    for house in _CN_HOUSE.finditer(text):
        start = house.start()
        first = max(start - _CN_WINDOW, 0)
        while start > first and _CN_PLACE.match(text, start - 1):
            start -= 1
        before = _CN_BEFORE.search(text, start, house.start())
        if before and not text.startswith(PSEUDONYM_ROAD_CN[:2], before.start()):
            yield before.start(), house.end()


def find_english_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Spans of American and British addresses with house number and street."""
    for match in _STREET.finditer(text):
        if PSEUDONYM_STREET_US not in match.group():
            yield match.span()


def _of_length(length: int) -> str:
    """Pattern of IBANs of a length, in groups of four, with check digits 02 to 98."""
    countries = "|".join(one for one, characters in IBAN_LENGTHS.items() if characters == length)
    groups, rest = divmod(length - 4, 4)
    last = f"[ -]?[A-Z0-9]{{{rest}}}" if rest else ""
    return f"(?:{countries})(?:0[2-9]|[1-8][0-9]|9[0-8])(?:[ -]?[A-Z0-9]{{4}}){{{groups}}}{last}"


_ANY = "|".join(map(_of_length, sorted({*IBAN_LENGTHS.values()})))

# A lookahead, so that overlapping candidates are found.
IBAN = re.compile(f"(?<![0-9A-Za-z])(?=(?P<iban>{_ANY})(?![0-9A-Za-z]))", re.IGNORECASE | re.ASCII)

# Starts with a digit, because that search is fast and digits are rare.
IBAN_HINT = re.compile("[0-9](?<=[A-Za-z]{2}[0-9])[0-9][ -]?[0-9A-Za-z]{4}")


Hint = re.Pattern[str] | tuple[str, ...]
"""A cheap precondition within one line: a pattern, or alternative substrings."""

Check = Callable[[re.Match[str]], bool]

NUMBER = re.compile("[0-9](?:[ ./()（）-]{0,2}[0-9]){6}")
"""At least seven digits with few separators."""

_NO_WORD_BEFORE = r"(?<![0-9A-Za-z])"
_NO_WORD_AFTER = r"(?![0-9A-Za-z])"
_NO_DIGITS = re.compile(r"[^0-9]")
_NO_LETTERS_OR_DIGITS = re.compile("[^0-9A-Za-z]")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
PROVINCES_OF_PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = "[A-HJ-NP-Z0-9]"

SAFE_DOMAINS = ("example.com", "example.org", "example.net")
"""Reserved domains (RFC 2606), used by pseudonyms."""

_SAFE_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"),
    )
)
"""Documentation networks (RFC 5737, RFC 3849), used by pseudonyms."""

_SMALL_OCTET = 20
"""Version and section numbers rarely have larger components."""

_LONG_GROUP = re.compile("(?=[0-9A-Fa-f]*[0-9])[0-9A-Fa-f]{3}")
"""An IPv6 group that distinguishes addresses from names ("face::bad") and counters (1:2:3:4)."""

_FILE_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".ico", ".css", ".js")
"""File extensions that are not top-level domains, as in "icon@2x.png"."""

_NUMBERS = re.compile("@(?:[0-9]+\\.){2}")
"""Package version as in "name@1.2.3.beta"."""

_BARE_GROUPS = re.compile("[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}")
_WORDS_OF_PHONES = re.compile(
    "call|phone|tel|mobile|cell|fax|number|contact|dial|text|whatsapp|reach|电话|手机|联系|拨|致电|号码",
    re.IGNORECASE,
)
_WINDOW_OF_WORDS = 40
"""Window before three bare numbers that must contain a phone-related word; "640 480 1024" is no
phone number."""

_THOUSANDS = re.compile(r"\+[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
"""Signed number with dots as thousands separators."""


@dataclass(frozen=True)
class Recogniser:
    """Rule for one entity type."""

    type: str
    pattern: re.Pattern[str]
    hint: Hint
    """Cheap precondition of `pattern`."""

    check: Check = lambda match: True

    def __call__(self, text: str) -> Iterator[tuple[int, int]]:
        """Spans of valid matches."""
        for match in self.pattern.finditer(text):
            if self.check(match):
                yield match.span(match.lastgroup or 0)


def digits_of(text: str) -> str:
    """Digits of `text` without separators."""
    return _NO_DIGITS.sub("", text)


def letters_and_digits_of(text: str) -> str:
    """ASCII letters and digits of `text` without separators."""
    return _NO_LETTERS_OR_DIGITS.sub("", text)


def _is_real_address(match: re.Match[str]) -> bool:
    """Whether an IP address is plausible: not a version or section number, nor an identifier.

    Four small numbers are rarely an IPv4 address, and short or wordlike groups rarely IPv6.
    """
    written = match.group()
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    if address.version == 4 and max(address.packed) < _SMALL_OCTET:
        return False
    if address.version == 6 and not _LONG_GROUP.search(written):
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    return not any(address in network for network in _SAFE_NETWORKS)


def _is_real_phone(match: re.Match[str]) -> bool:
    digits = digits_of(match.group())
    if _THOUSANDS.fullmatch(match.group()) or _is_counting(match.group()):
        return False
    if _BARE_GROUPS.fullmatch(match.group()):
        begin = max(match.start() - _WINDOW_OF_WORDS, 0)
        if not _WORDS_OF_PHONES.search(match.string, begin, match.start()):
            return False
    fictitious = len(digits) in (10, 11) and digits[-7:-2] == "55501"
    return 8 <= len(digits) <= 15 and not fictitious and not digits.startswith("999")


def _is_counting(written: str) -> bool:
    """Whether the numbers count up, as in "01 02 03 04 05"."""
    numbers = [int(one) for one in _NO_DIGITS.split(written) if one]
    return len(numbers) > 3 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _is_real_plate(match: re.Match[str]) -> bool:
    return len(digits_of(match.group())) >= 2


def _is_real_email(match: re.Match[str]) -> bool:
    address = match.group().lower()
    return not address.endswith((*SAFE_DOMAINS, *_FILE_NAMES)) and not _NUMBERS.search(address)


def _is_real_disguised_email(match: re.Match[str]) -> bool:
    """Whether it is an address, with the usual marks in place of its own."""
    written = re.sub(_DOT, ".", re.sub(f"{_AT}| (?:at|AT) ", "@", match.group()))
    return not written.lower().endswith((*SAFE_DOMAINS, *_FILE_NAMES))


def _is_real_secret(match: re.Match[str]) -> bool:
    """Neither a pseudonym nor hyphenated words after "sk"."""
    secret = match.group()
    return "EXAMPLE" not in secret and (
        not secret.startswith("sk-") or any(map(str.isdigit, secret))
    )


def _has_no(word: str, match: re.Match[str]) -> bool:
    return word not in match.group()


_PHONES = (
    # Chinese mobile numbers.
    r"(?:(?:\+|00)?86[ -]?)?1[3-9][0-9][ .-]?[0-9]{4}[ .-]?[0-9]{4}"
    # Chinese and most European land lines, with the area code.
    r"|0[1-9][0-9]{1,3}[ /-][0-9]{5,8}|0(?:10|2[0-9]|[3-9][0-9]{2})[0-9]{7,8}"
    r"|\(0[1-9][0-9]{1,3}\) ?[0-9]{5,8}|（0[1-9][0-9]{1,3}）[0-9]{5,8}"
    # In groups, as in Britain and in France.
    r"|0[1-9][0-9]{1,3} [0-9]{3,4} [0-9]{3,4}|0[1-9](?:[ .][0-9]{2}){4}"
    # American.
    r"|(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    # International, E.164.
    r"|(?:\+|00 ?)[1-9][0-9]{6,14}|(?:\+|00 ?)[1-9][0-9]{0,2}(?:[ .-]\(?[0-9]{1,5}\)?){2,5}"
    # The same with a long last group, or with the zero of the area code in brackets.
    r"|(?:\+|00 ?)[1-9][0-9]{0,2}(?:(?:[ -]\(?[0-9]{1,5}\)?){1,3}[ /-][0-9]{6,8}|[ -][0-9]{8,12})"
    r"|(?:\+|00 ?)[1-9][0-9]{0,2} ?\(0\) ?[0-9]{1,5}(?:[ /-][0-9]{1,8}){1,4}"
)
_SECRETS = "|".join(
    (
        *(secret.pattern for secret in SECRET_FORMATS),
        r"eyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,1000}",
        f"{PRIVATE_KEY_HEADER}[^-]{{1,8000}}-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----",
    )
)
_SECRET_HINT = (*(each for one in SECRET_FORMATS for each in one.beginnings), "eyJ", "-----BEGIN")
_CARD = r"[0-9]{4}(?:[ .-]?[0-9]{2,6}){2,4}"
_AT = r"(?: ?[\[({（] ?(?:at|AT|@) ?[\])}）] ?| ?艾特 ?|%40| @ ?|@ )"
_DOT_SAID = r"(?: ?[\[({] ?(?:dot|DOT|\.) ?[\])}] ?| dot | DOT |点)"
_DOT = rf"(?:{_DOT_SAID}|\.)"
_ENDS = (
    "(?:com|net|org|edu|gov|info|io|co|dev|eu|de|fr|uk|es|nl|pl|ch|se|dk|fi|pt|cz|ru|cn|tw|hk|jp|kr"
    "|br|au|ca)"
)
"""Marks of an e-mail address as people write them for people, and ends of domains that are no
English words, as "at" and "dot" are."""
_GERMAN_STREET = r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|damm|ufer)"
"""Ends of the names of German streets."""
_PLATE_NUMBER = (
    f"[A-HJ-NP-Z][·• ]?(?:{_PLATE}{{4}}[A-HJ-NP-Z0-9挂学警港澳]"
    rf"|[DF]{_PLATE}[0-9]{{4}}|[0-9]{{5}}[DF])"
)

RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser(
        "secret",
        re.compile(f"{_NO_WORD_BEFORE}(?:{_SECRETS})", re.ASCII),
        _SECRET_HINT,
        _is_real_secret,
    ),
    Recogniser(
        "url_credentials",
        re.compile(r"[a-z+]{2,12}://(?P<access>[^\s/:@]{1,64}:[^\s/:@]{1,128}@[^\s/:@]{1,253})"),
        ("://",),
        partial(_has_no, "user:EXAMPLE"),
    ),
    Recogniser(
        "email",
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@"
            f"(?:{_LABEL}\\.){{1,6}}[A-Za-z]{{2,24}}(?![A-Za-z0-9-])"
        ),
        ("@",),
        _is_real_email,
    ),
    Recogniser(
        "email",
        re.compile(
            f"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9_+-]{{0,40}}(?:{_DOT}[A-Za-z0-9_+-]{{1,40}})"
            f"{{0,3}}{_AT}{_LABEL}(?:{_DOT}{_LABEL}){{0,3}}{_DOT}[A-Za-z]{{2,24}}(?![A-Za-z0-9-])"
        ),
        re.compile(r"[\[({（] ?(?:at|AT|@)|%40| @|@ |艾特"),
        _is_real_disguised_email,
    ),
    Recogniser(
        "email",
        re.compile(
            f"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9_+-]{{0,40}}(?:{_DOT}[A-Za-z0-9_+-]{{1,40}})"
            f"{{0,3}} (?:at|AT) {_LABEL}(?:{_DOT_SAID}{_LABEL}){{0,3}}{_DOT_SAID}{_ENDS}"
            "(?![A-Za-z0-9-])"
        ),
        re.compile(f" (?:at|AT) {_LABEL}{_DOT_SAID}"),
        _is_real_disguised_email,
    ),
    Recogniser(
        "address",
        re.compile(
            rf"(?<!\w)[A-ZÄÖÜ][a-zäöüß-]{{2,24}}{_GERMAN_STREET}"
            r" [0-9]{1,4} ?[a-z]?(?:,? [0-9]{5}(?: [A-ZÄÖÜ][a-zäöüß-]{1,24})?)?(?!\w)"
        ),
        re.compile(f"{_GERMAN_STREET} [0-9]"),
    ),
    Recogniser(
        "iban",
        IBAN,
        IBAN_HINT,
        lambda match: is_iban(match["iban"]),
    ),
    Recogniser(
        "cn_credit_code",
        re.compile(
            f"{_NO_WORD_BEFORE}[1-9AHJNY][1-9][0-9]{{6}}[0-9A-HJ-NPQRTUWXY]{{10}}{_NO_WORD_AFTER}",
            re.IGNORECASE | re.ASCII,
        ),
        NUMBER,
        lambda match: is_cn_credit_code(match.group()),
    ),
    Recogniser(
        "cn_id",
        re.compile(
            f"{_NO_WORD_BEFORE}[1-8][0-9]{{5}}[ -]?(?:18|19|20)[0-9]{{6}}[ -]?[0-9]{{3}}[0-9Xx]"
            f"{_NO_WORD_AFTER}"
        ),
        NUMBER,
        lambda match: is_cn_id(match.group()),
    ),
    Recogniser(
        "card",
        re.compile(f"(?<![0-9A-Za-z.-]){_CARD}(?![0-9A-Za-z])"),
        NUMBER,
        lambda match: is_card(digits_of(match.group())),
    ),
    Recogniser(
        "us_ssn",
        re.compile("(?<![0-9A-Za-z-])[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}(?![0-9A-Za-z-])"),
        NUMBER,
        lambda match: is_us_ssn(match.group()),
    ),
    Recogniser(
        "uk_nino",
        re.compile(
            "(?<![0-9A-Za-z-])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
            "(?: ?[0-9]{2}){3} ?[A-D](?![0-9A-Za-z-])"
        ),
        re.compile("[A-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"),
    ),
    Recogniser(
        "cn_passport",
        re.compile(
            "(?:护照|通行证|[Pp]assport)[^0-9A-Za-z\n]{0,12}(?:[Nn]o|[Nn]umber)?[^0-9A-Za-z\n]{0,4}"
            f"(?P<number>[DEGHKPS][A-Z]?[0-9]{{7,8}}){_NO_WORD_AFTER}"
        ),
        NUMBER,
    ),
    Recogniser(
        "phone",
        re.compile(f"(?<![0-9A-Za-z.+/-])(?:{_PHONES})(?![0-9A-Za-z]|[.-][0-9])"),
        NUMBER,
        _is_real_phone,
    ),
    Recogniser(
        "ip",
        re.compile(rf"(?<![0-9A-Za-z.])(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9A-Za-z]|\.[0-9])"),
        re.compile("[0-9][.][0-9]{1,3}[.][0-9]"),
        _is_real_address,
    ),
    Recogniser(
        "ip",
        re.compile(
            "(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4}:|:){2,8}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:.])"
        ),
        re.compile(":[0-9A-Fa-f]{0,4}:"),
        lambda match: len(match.group()) > 6 and _is_real_address(match),
    ),
    Recogniser(
        "cn_plate",
        re.compile(f"[{PROVINCES_OF_PLATES}]{_PLATE_NUMBER}{_NO_WORD_AFTER}"),
        re.compile(f"[{PROVINCES_OF_PLATES}][A-HJ-NP-Z]"),
        _is_real_plate,
    ),
)
"""All rules, with checksums and ranges against false positives."""
