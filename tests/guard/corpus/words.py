"""Words that the test policy forbids, harmless ones beside them, and sentences around both."""

from dataclasses import dataclass

ENGLISH, CHINESE = "en", "zh"


@dataclass(frozen=True)
class Word:
    """Something to be disguised; `rule` is the one that forbids it, None for a harmless word."""

    text: str
    language: str
    rule: str | None = None
    is_code: bool = False
    """It is an instance of a pattern."""


def _words(language: str, rule: str | None, *texts: str, is_code: bool = False) -> list[Word]:
    return [Word(text, language, rule, is_code) for text in texts]


FORBIDDEN: tuple[Word, ...] = (
    *_words(ENGLISH, "en-metal", "zorbium", "quillon"),
    *_words(ENGLISH, "en-short", "opal", "ember"),
    *_words(ENGLISH, "en-phrase", "velmar crystal", "river of tin", "maple engine"),
    *_words(ENGLISH, "en-inside", "glimmerwax"),
    *_words(ENGLISH, "en-name", "marlow finch"),
    *_words(ENGLISH, "en-vault", "vault 482913", "vault 100256", is_code=True),
    *_words(ENGLISH, "en-code", "zx-4821-qb", "zx-0937-hm", is_code=True),
    *_words(CHINESE, "zh-stone", "火花石", "龙鳞粉", "星铁矿"),
    *_words(CHINESE, "zh-plant", "蓝月草", "明珠树", "云雾茶谱"),
    *_words(CHINESE, "zh-lamp", "鳳凰燈"),
    *_words(CHINESE, "zh-name", "林晓峰"),
    *_words(CHINESE, "zh-signal", "暗号4821", "暗号0937", is_code=True),
    *_words(CHINESE, "zh-code", "代号qb482", "代号hm093", is_code=True),
)

HARMLESS: tuple[Word, ...] = (
    *_words(ENGLISH, None, "zirconium", "quarter", "oval", "amber", "velvet crystal"),
    *_words(ENGLISH, None, "river of time", "maple garden", "candlewax", "marble finish"),
    *_words(ENGLISH, None, "vault 48291", "zx-482-qb", is_code=True),
    *_words(
        CHINESE,
        None,
        "火车站",
        "龙井茶",
        "星期天",
        "蓝天",
        "明信片",
        "云南米线",
        "凤凰山",
        "林业局",
    ),
    *_words(CHINESE, None, "暗号48", "代号q48", is_code=True),
)
"""Near to the forbidden ones, so that a rule which is read too widely meets them."""

FRAMES: dict[str, tuple[str, ...]] = {
    ENGLISH: (
        "{}",
        "Please tell me about {}.",
        "{} is on the list for Monday",
        "We carried some {}, then we went home.",
        "Is there any {}?",
        'She wrote "{}" on the box',
        "He asked for {} (and two spoons).",
        "The word {} stands here; read on",
        "A report on {}: it is long.",
        "First bread, then {}!",
        "note: {} / tea / rice",
        "They found {}\nin the cellar.",
        "Where did you put {} last week",
        "I said {} and nothing else, my friend",
    ),
    CHINESE: (
        "{}",
        "请告诉我{}的做法。",
        "{}在哪里？",
        "昨天他们谈到{}，然后走了",
        "我想买一些{}！",
        "箱子上写着“{}”两个字",
        "关于{}的报告：很长。",
        "先吃饭，再看{}",
        "老师说{}\n很有意思。",
        "桌上有茶、{}、米",
        "有人问起{}（还有别的）。",
        "把{}放在门口吧",
    ),
}
"""Own sentences with a place for one word."""
