"""Recognisers of values that only the words beside them give away, such as birth dates.

Quantifiers are bounded and adjacent ones are disjoint, as in `recognisers`.
"""

import re

from modelmill_pii.numbers import is_us_ssn

from modelmill_data_prep.domain.entities.recognisers import NUMBER, Recogniser

_MONTH = (
    "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sep(?:t|tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_YEAR = "(?:19|20)[0-9]{2}"
_DAY = "[0-9]{1,2}(?:st|nd|rd|th)?"
_DATE = (
    f"{_YEAR} ?[-/.年] ?[0-9]{{1,2}} ?[-/.月] ?[0-9]{{1,2}}日?"
    f"|[0-9]{{1,2}}[-/.][0-9]{{1,2}}[-/.]{_YEAR}"
    f"|{_DAY} (?:of )?{_MONTH},? {_YEAR}|{_MONTH} {_DAY},? {_YEAR}"
)
_BIRTH = r"(?i:\b(?:born|birth ?day|birth ?date|date of birth|dob|d\.o\.b\.))|出生|生日|生于"
_LINK = "(?i: (?:is|was|on|in)){0,2}(?:日期|年月日|时间)?[于在为是]?[：:，,(（ ]{0,3}"
"""What may stand between the word and the date; of "birthday party on 3 March" nobody was born."""

WORDED_RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser(
        "birth_date",
        re.compile(f"(?:{_BIRTH})(?:{_LINK})(?P<date>{_DATE})(?![0-9])"),
        re.compile(r"(?i:born|birth|dob|d\.o\.b\.)|生"),
    ),
    Recogniser(
        "birth_date",
        re.compile(
            f"(?<![0-9])(?P<date>{_YEAR}年[0-9]{{1,2}}月[0-9]{{1,2}}日)(?=出?生(?![产活效]))"
        ),
        ("日出生", "日生"),
    ),
    Recogniser(
        "passport",
        re.compile(
            "(?i:passport|护照)[^0-9A-Za-z\n]{0,4}(?i:no|number)?[^0-9A-Za-z\n]{0,4}"
            "(?i:is )?(?!X)(?P<number>[A-Z]{0,2}[0-9]{7,9})(?![0-9A-Za-z])"
        ),
        NUMBER,
    ),
    Recogniser(
        "us_ssn",
        re.compile(
            r"(?i:\bSSN|social security (?:number|no\.?))(?i: is)?[:# ]{0,3}"
            "(?P<number>[0-9]{9})(?![0-9A-Za-z])"
        ),
        NUMBER,
        lambda match: is_us_ssn(match["number"]),
    ),
    Recogniser(
        "cn_id",
        re.compile(
            "身份证(?:号码?)?[^0-9\n]{0,6}(?P<number>[1-8][0-9]{7}(?:0[1-9]|1[0-2])"
            "(?:0[1-9]|[12][0-9]|3[01])[0-9]{3})(?![0-9A-Za-z])"
        ),
        NUMBER,
    ),
    Recogniser(
        "phone",
        re.compile(
            r"(?i:\b(?:call|phone|tel|mobile|cell|fax|dial|text)(?: me| us)?(?: at| on| number)?"
            "(?: is)?)[.:# ]{1,3}(?P<number>[2-9][0-9]{2}[2-9][0-9]{6})(?![0-9A-Za-z])"
        ),
        NUMBER,
        lambda match: match["number"][-7:-2] != "55501",
    ),
    Recogniser(
        "chat_account",
        re.compile("(?<![0-9A-Za-z_])wxid_[0-9a-z]{8,30}(?![0-9A-Za-z_])"),
        ("wxid_",),
    ),
    Recogniser(
        "chat_account",
        re.compile(
            "(?:微信号?|[Ww]e[Cc]hat(?: ID)?)(?:是|为| is)?[：: ]{0,2}"
            "(?P<account>[A-Za-z][A-Za-z0-9_-]{5,19})(?![A-Za-z0-9_-])"
        ),
        ("微信", "eChat", "echat"),
        lambda match: any(map(str.isdigit, match["account"])) and "EXAMPLE" not in match.group(),
    ),
    Recogniser(
        "chat_account",
        re.compile(
            "QQ(?:号码?|账号)?(?:是|为| is)?[：: ]{0,2}(?P<account>[1-9][0-9]{4,10})(?![0-9])"
        ),
        ("QQ",),
    ),
)
"""Rules for values without check digits."""
