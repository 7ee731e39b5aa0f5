"""Rules for postal addresses; a house number is required."""

import re
from collections.abc import Iterator

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

_US = re.compile(
    "(?<![0-9A-Za-z.$-])[0-9]{1,5} (?:[NSEW]\\.? )?"
    "(?:[A-Z][a-z]{1,20} |[0-9]{1,3}(?:st|nd|rd|th) ){1,4}"
    "(?:Street|Avenue|Road|Boulevard|Lane|Drive|Court|Terrace|Parkway"
    "|(?:St|Ave|Rd|Blvd|Ln|Dr|Ct)(?![A-Za-z])\\.?)(?![A-Za-z]| [A-Z][a-z])"
    "(?:,? (?:Apt|Suite|Ste|Unit)\\.? ?#?[0-9A-Z]{1,6})?"
    "(?:, [A-Z][A-Za-z]{1,20}(?: [A-Z][a-z]{1,20}){0,2}, [A-Z]{2}(?: [0-9]{5}(?:-[0-9]{4})?)?)?"
)

PSEUDONYM_ROAD_CN = "示例路"
PSEUDONYM_STREET_US = "Example"


CN_HINT = re.compile("[路街道巷同弄村] ?[0-9]")
US_HINT = re.compile("[0-9] [A-Z0-9]")
"""Hints: cheap patterns that match every text with such an address."""


def find_chinese(text: str) -> Iterator[tuple[int, int]]:
    """Spans of Chinese addresses with road and house number."""
    for house in _CN_HOUSE.finditer(text):
        start = house.start()
        first = max(start - _CN_WINDOW, 0)
        while start > first and _CN_PLACE.match(text, start - 1):
            start -= 1
        before = _CN_BEFORE.search(text, start, house.start())
        if before and not text.startswith(PSEUDONYM_ROAD_CN[:2], before.start()):
            yield before.start(), house.end()


def find_american(text: str) -> Iterator[tuple[int, int]]:
    """Spans of American addresses with house number and street."""
    for match in _US.finditer(text):
        if PSEUDONYM_STREET_US not in match.group():
            yield match.span()
