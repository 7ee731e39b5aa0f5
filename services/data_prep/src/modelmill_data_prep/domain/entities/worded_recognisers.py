"""Recognisers of values that only the words beside them give away: birth dates, passports, chats.

Quantifiers are bounded and adjacent ones are disjoint, as in `recognisers`.
"""

import re

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
_BIRTH = (
    r"\b(?:[Bb]orn|[Bb]irth ?day|[Bb]irth ?date|[Dd]ate of [Bb]irth|DOB|D\.O\.B\.)|出生|生日|生于"
)
_LINK = "(?: (?:is|was|on|in)){0,2}(?:日期|年月日|时间)?[于在为是]?[：:，,(（ ]{0,3}"
"""What may stand between the word and the date; of "birthday party on 3 March" nobody was born."""

WORDED_RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser(
        "birth_date",
        re.compile(f"(?:{_BIRTH})(?:{_LINK})(?P<date>{_DATE})(?![0-9])"),
        ("irth", "orn", "DOB", "D.O.B.", "生"),
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
            "(?:[Pp]assport|护照)[^0-9A-Za-z\n]{0,4}(?:[Nn]o|[Nn]umber)?[^0-9A-Za-z\n]{0,4}"
            "(?:is )?(?!X)(?P<number>[A-Z]{0,2}[0-9]{7,9})(?![0-9A-Za-z])"
        ),
        NUMBER,
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
