"""Names of persons by lists of given and family names, and by the words beside them.

A rule takes what is surely a name: titles and words such as "my name is" introduce one, and a
listed given name followed by a capital letter begins one. A given name alone is not taken, except
where its whole name stands in the same text. Quantifiers are bounded, as in `recognisers`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import takewhile

_CAPITAL = "[A-ZÀ-ÖØ-ÞĀ-ſ]"
_NAME = rf"(?:[DO]['’])?{_CAPITAL}[^\W\d_]{{1,19}}(?:['’-]{_CAPITAL}[^\W\d_]{{1,19}})?(?![\w-])"
_PARTICLE = (
    "(?:van der|van den|van de|de la|de los|von|van|del|della|dos|das|den|der|bin|al|de|da|di|du|la"
    "|le)"
)
_INITIAL = r"[A-Z]\.?(?![\w'’])"
_REST = f"(?: (?:{_INITIAL} ){{0,2}}(?:{_PARTICLE} )?{_NAME})"
_WHOLE = f"{_NAME}{_REST}{{0,3}}"

ENGLISH_NAME_HINT = re.compile(rf"{_CAPITAL}[^\W\d_]{{0,19}}[.,:!]?[ \n]{{1,2}}{_CAPITAL}")
WORDED_NAME_HINT = re.compile(rf"[ \n]{_CAPITAL}")

_TITLED = re.compile(
    r"(?<![\w.])(?:Mr|Mrs|Ms|Mx|Messrs|Miss|Dr|Prof|Professor|Sir|Madam|Dame|Rev|Herr|Frau|Sra?|Srta"
    rf"|Mme|Mlle)\.? (?P<name>(?:{_INITIAL} ){{0,2}}(?:{_PARTICLE} )?{_WHOLE})"
)
_TOLD = re.compile(
    r"(?i:\b(?:my|his|her|their|full|first|last|middle|maiden|family|given"
    r"|(?:customer|client|patient|guest|employee|contact|account holder|cardholder|applicant)"
    "(?:'s)?) name"
    rf"(?: is|:| -|’s|'s)+|\bi am called) (?P<name>{_WHOLE})"
)
_GREETED = re.compile(
    r"(?:(?i:\b(?P<greeting>dear|hi|hello|hey|regards|sincerely|cheers|thanks|thank you|best|wishes"
    r"|signed|attn|attention|yours)|\b(?:named|i am|i'm|i’m|this is|call me"
    r"|speak(?:ing)? (?:to|with)|contact|from|customer|client|patient|guest|employee|name|sender"
    r"|recipient|author|signature))"
    rf"[,:!]?[ \n]{{1,2}}(?:{_INITIAL} )?)(?P<name>{_WHOLE})"
)
_RUN = re.compile(rf"(?<![\w'’.@-])(?<!\bSt\. )(?<!\bSt )(?<!\bSaint ){_NAME}{_REST}{{1,6}}")
_FOLLOWING = re.compile(rf"(?<![\w'’-]){_NAME}")
_MIN_PART = 3
"""Characters of a part of a name that is also found alone."""


@dataclass(frozen=True)
class NameLists:
    """Words that may be part of a name."""

    given: frozenset[str]
    given_words: frozenset[str]
    """Given names that are also words or places."""
    family: frozenset[str]
    not_family: frozenset[str]
    """Words that make no person of the name before them."""
    sentence_words: frozenset[str]
    """Words that begin a sentence behind a name, where the mark between is missing."""
    forms_of_address: frozenset[str]
    """Words that a greeting or a title may be followed by in place of a name."""
    family_zh: str
    """A pattern."""
    given_zh: str
    """Characters."""
    words_zh: frozenset[str]
    """Words that begin like a name, of two or three characters."""

    def is_given(self, word: str) -> bool:
        """Whether it is a given name and nothing else."""
        return word in self.given or word.partition("-")[0] in self.given

    def is_family(self, word: str) -> bool:
        """Whether it is a listed family name, or begins with one."""
        return word in self.family or word.partition("-")[0] in self.family


@cache
def name_lists() -> NameLists:
    """The lists of this package."""
    folder = files("modelmill_data_prep") / "resources" / "person_names"

    def words(name: str) -> list[str]:
        return (folder / f"{name}.txt").read_text("utf-8").split()

    family_zh = words("family_zh")
    single = "".join(one for one in family_zh if len(one) > 2)
    double = [one for one in family_zh if len(one) == 2]
    return NameLists(
        frozenset(words("given")),
        frozenset(words("given_words")),
        frozenset(words("family")),
        frozenset(words("not_family")),
        frozenset(words("sentence_words")),
        frozenset(words("forms_of_address")),
        f"(?:{'|'.join(double)}|[{single}])",
        "".join(words("given_zh")),
        frozenset(words("words_zh")),
    )


def find_english_names(text: str) -> Iterator[tuple[int, int]]:
    """Spans of titled and of whole names, and of their parts elsewhere in the text."""
    lists = name_lists()
    spans = [_trimmed(match, lists) for match in _TITLED.finditer(text)]
    for run in _RUN.finditer(text):
        spans += _names_in(run, lists)
    return _with_parts(text, spans, lists)


def find_worded_names(text: str) -> Iterator[tuple[int, int]]:
    """Spans of names that the words before them tell, and of their parts elsewhere."""
    lists = name_lists()
    spans = [_trimmed(match, lists) for match in _TOLD.finditer(text)]
    for match in _GREETED.finditer(text):
        first = match["name"].partition(" ")[0]
        # Of "from Jordan" nothing is known, but "Dear Jordan" greets somebody.
        is_clear = bool(match["greeting"]) or " " in match["name"]
        if lists.is_given(first) or (first in lists.given_words and is_clear):
            spans.append(_trimmed(match, lists))
    return _with_parts(text, spans, lists)


def _trimmed(match: re.Match[str], lists: NameLists) -> tuple[int, int] | None:
    """The name of a match without what cannot end or begin one; None if nothing is left."""
    if match["name"] in lists.forms_of_address:
        return None
    words = match["name"].split(" ")
    words = [*takewhile(lambda word: word not in lists.sentence_words, words)]
    while words and (words[-1] in lists.not_family or not _is_capitalised(words[-1])):
        words.pop()
    if not words or words[0] in lists.forms_of_address:
        return None
    start = match.start("name")
    return start, start + len(" ".join(words))


def _is_capitalised(word: str) -> bool:
    """Whether it begins with a capital and is none of capitals alone, such as an initial or III."""
    return word[0].isupper() and not word.isupper()


def _names_in(run: re.Match[str], lists: NameLists) -> Iterator[tuple[int, int]]:
    """Names in words that begin with capitals: a given name and what belongs to it."""
    words = list(re.finditer(r"\S+", run.group()))
    place = 0
    while place < len(words):
        end = _end_of_name([word.group() for word in words[place:]], lists)
        if end:
            yield run.start() + words[place].start(), run.start() + words[place + end - 1].end()
        place += end or 1


def _end_of_name(words: list[str], lists: NameLists) -> int:
    """How many of these words are one name; 0 if the first begins none."""
    is_sure = lists.is_given(words[0])
    if not is_sure and words[0] not in lists.given_words:
        return 0
    end = 0
    for number, word in enumerate(words[1:], 2):
        if word in lists.not_family:
            return 0
        if word in lists.sentence_words:
            break
        if not word[0].isupper() or len(word.rstrip(".")) == 1:
            continue
        # After a sure given name, any capital begins a family name.
        is_next = is_sure and (end == 0 or lists.is_given(words[end - 1]))
        if not (is_next or lists.is_family(word)):
            break
        end = number
    return end


def _with_parts(
    text: str, found: list[tuple[int, int] | None], lists: NameLists
) -> Iterator[tuple[int, int]]:
    """The spans, and each further place of a part of these names."""
    spans = [span for span in found if span]
    yield from spans
    parts = {
        part
        for start, end in spans
        for part in text[start:end].split(" ")
        if len(part) >= _MIN_PART and part[0].isupper() and part not in lists.given_words
    }
    if parts:
        for match in _FOLLOWING.finditer(text):
            if match.group() in parts:
                yield match.span()


_HAN = "[\u4e00-\u9fff]"
_LATIN = re.compile(r"[A-Za-z0-9\u00c0-\u024f]")
_NAMED_ZH = "我叫|名叫|叫做|姓名|名字|联系人|收件人|收货人|寄件人|申请人|负责人|经办人|签名|署名"
_TOLD_ZH = "我是|客户|患者|病人|尊敬的|亲爱的|用户|顾客"
_TITLES_ZH = "先生|女士|小姐|太太|老师|教授|医生|大夫|经理|主任|律师|师傅|同学|总监|护士|阿姨|叔叔"
"""Words before a name, words before a likely one, and words behind one; as patterns."""
_RARE_IN_WORDS_ZH = (
    "(?:[刘陈杨吴赵徐孙朱胡郭郑梁宋邓韩曹彭蔡潘袁董吕沈姚谭邱邹孟薛郝龚傅]"
    "|(?<![一二两几每这那半主慌紧扩嚣夸纸])张|(?<![国大霸君帝女魔天])王|(?<!行)李)"
)
"""Family names that other words seldom hold: with two characters of given names, these are names
wherever they stand."""
CHINESE_NAME_HINT = re.compile(f"{_HAN}{{2}}")


@cache
def _chinese_patterns() -> tuple[re.Pattern[str], tuple[re.Pattern[str], ...]]:
    """One for names that are found wherever they stand, and those for names beside other words."""
    lists = name_lists()
    family, given = lists.family_zh, f"[{lists.given_zh}]"
    name = f"(?P<name>{family}{given}{{1,2}})"
    link = "(?:叫|是|为|：|:|,|，| ){0,3}"
    anywhere = re.compile(f"(?P<name>{_RARE_IN_WORDS_ZH}{given}{{2}})")
    told = (
        re.compile(f"(?:{_NAMED_ZH}|{_TOLD_ZH}){link}{name}"),
        re.compile(f"(?:{_NAMED_ZH}){link}(?P<name>{family}{_HAN}{{1,2}})(?!{_HAN})"),
        re.compile(f"(?<![主担责信胜前现])(?P<name>{family}{given}{{0,2}})(?={_TITLES_ZH})"),
        re.compile(f"(?<!{_HAN})(?P<name>{family}{given}{{2}})(?!{_HAN})"),
    )
    return anywhere, told


def places_of_names(names: Iterable[str], text: str) -> Iterator[tuple[int, int]]:
    """Spans of names that were found elsewhere, but for those that may be other words."""
    lists = name_lists()
    told = {
        name
        for name in names
        if len(name) >= (2 if re.match(_HAN, name) else _MIN_PART) and name not in lists.given_words
    }
    for start, end in _places_of(told, text):
        if _LATIN.match(text, start) is None or (
            _LATIN.match(text, start - 1 if start else len(text)) is None
            and _LATIN.match(text, end) is None
        ):
            yield start, end


def find_chinese_names(text: str) -> Iterator[tuple[int, int]]:
    """Spans of Chinese names beside words that tell them, and of the same names elsewhere."""
    lists = name_lists()
    anywhere, told = _chinese_patterns()
    yield from _names_by(anywhere, text, lists.words_zh)
    spans = [span for pattern in told for span in _names_by(pattern, text, lists.words_zh)]
    yield from spans
    yield from _places_of({text[start:end] for start, end in spans if end - start > 1}, text)


def _places_of(names: set[str], text: str) -> Iterator[tuple[int, int]]:
    """Where one of the names stands; in one pass, as a text may hold thousands of them."""
    if not names:
        return
    lengths = sorted({len(name) for name in names}, reverse=True)
    for first in re.finditer(f"[{''.join({name[0] for name in names})}]", text):
        start = first.start()
        for length in lengths:
            if text[start : start + length] in names:
                yield start, start + length


def _names_by(
    pattern: re.Pattern[str], text: str, words: frozenset[str]
) -> Iterator[tuple[int, int]]:
    """What the pattern calls names and is none of these words."""
    place: int | None = 0
    while place is not None:
        began, place = place, None
        for match in pattern.finditer(text, began):
            start, end = match.span("name")
            if text[start : start + 2] in words or text[start : start + 3] in words:
                # A name may begin with the word's second character.
                place = start + 1
                break
            yield start, end
