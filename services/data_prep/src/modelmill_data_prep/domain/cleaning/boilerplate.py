"""Removes boilerplate lines of web pages: cookie notices, navigation, footers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_data_prep.domain.cleaning.stage import SEPARATOR

MAX_LINE_CHARACTERS = 160
"""Longer lines are assumed to have content."""


@dataclass(frozen=True)
class LineRule:
    """A kind of boilerplate line; the pattern must match the whole line."""

    id: str
    pattern: str
    """Case-insensitive; surrounding blanks and bars are ignored."""


LINE_RULES = (
    LineRule("en.cookies", r"(?:this (?:web)?site|we|our site)\b.{0,60}\buses? cookies\b.{0,90}"),
    LineRule("en.accept_cookies", r"(?:accept|reject|manage)(?: all)? cookies(?: preferences)?"),
    LineRule("en.copyright", r"(?:copyright|©|\(c\))[\s©,]{0,5}(?:19|20)\d\d.{0,100}"),
    LineRule("en.rights", r".{0,80}\ball rights reserved\b.{0,60}"),
    LineRule(
        "en.legal",
        r"(?:(?:privacy policy|terms of (?:use|service)|cookie policy|legal notice|imprint|sitemap"
        r"|contact us|about us)[\s|·/,&-]{0,5}){1,6}",
    ),
    LineRule("en.share", r"share (?:this|on|via|to)\b.{0,60}|tweet|pin it|e-?mail this|print this"),
    LineRule(
        "en.subscribe",
        r"(?:subscribe|sign up)(?: now| today)?(?: to| for) (?:our|the) .{0,40}newsletter.{0,60}",
    ),
    LineRule("en.follow", r"(?:follow|like|find) us on .{1,60}"),
    LineRule(
        "en.navigation", r"skip to (?:main )?content|back to top|load more|read more|see also"
    ),
    LineRule(
        "en.menu",
        r"(?:(?:home|news|products|services|blog|log ?in|register|search|menu)\s{0,3}[|>·/»]"
        r"\s{0,3}){2,12}[\w ]{0,30}",
    ),
    LineRule("en.comments", r"leave a (?:comment|reply)|\d{1,6} comments?|post a comment"),
    LineRule("zh.cookies", r"(?:本网站|我们)使用\s?cookies?.{0,80}"),
    LineRule(
        "zh.copyright",
        r"(?:版权所有|copyright|©).{0,80}(?:版权所有|保留所有权利|有限公司|\d{4}).{0,60}",
    ),
    LineRule(
        "zh.rights",
        r".{0,60}(?:版权所有|保留所有权利|未经(?:许可|授权).{0,12}(?:转载|复制)).{0,40}",
    ),
    LineRule("zh.filing", r".{0,40}(?:[\u4e00-\u9fff]icp[备证]|公网安备)\s?\d{5,14}号?.{0,40}"),
    LineRule("zh.share", r"(?:分享到|分享至|转发到|一键分享)[:：]?.{0,40}"),
    LineRule(
        "zh.follow",
        r"(?:扫码|扫一扫|长按|点击).{0,20}(?:关注|订阅|下载).{0,30}|关注我们.{0,30}",
    ),
    LineRule(
        "zh.navigation",
        r"(?:返回(?:顶部|首页|列表)|上一[篇页].{0,60}|下一[篇页].{0,60}|阅读全文|查看更多|加载更多"
        r"|相关阅读|相关推荐|热门推荐|点击查看.{0,20})[:：>»]{0,2}",
    ),
    LineRule(
        "zh.menu",
        r"(?:(?:首页|新闻|产品|服务|关于我们|联系我们|登录|注册|网站地图|帮助)\s{0,3}[|>·/»]?\s{0,3})"
        r"{2,12}[\u4e00-\u9fff]{0,10}",
    ),
    LineRule("zh.editor", r"[(（【\[]?(?:责任编辑|责编|编辑|来源|本文来源)[:：]\s?.{1,20}"),
    LineRule("zh.disclaimer", r"(?:免责声明|本文仅代表作者).{0,120}"),
)
"""All boilerplate rules."""

_LINE = re.compile(
    r"[\s|·*#>-]{0,5}(?:"
    + "|".join(f"(?:{rule.pattern})" for rule in LINE_RULES)
    + r")[\s|.。!！]{0,5}",
    re.IGNORECASE,
)
_WORDS = re.compile(
    "cookie|copyright|©|rights|privacy|terms|policy|legal|imprint|sitemap|about us|contact us|share"
    "|tweet|pin it|mail this|print this|subscribe|sign up|follow|like us|find us|skip to|back to"
    "|more|also|home|news|comment|reply|accept|reject|manage|版权|权利|转载|复制|备|icp|分享|转发|关注"
    "|订阅|下载|返回|一[篇页]|全文|更多|相关|推荐|点击|首页|新闻|产品|服务|我们|登录|注册|帮助|编辑|来源|声明|本文"
    r"|\(c\)|products|blog|log ?in|register|search|menu|地图",
    re.IGNORECASE,
)


class Boilerplate:
    """Removes lines that match a rule of `LINE_RULES`; texts of a single line stay."""

    name = "boilerplate"
    version = 1

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Remove boilerplate lines; the result may be empty."""
        if not any("\n" in text for text in texts):
            return list(texts)
        return [_without_boilerplate(text) if "\n" in text else text for text in texts]


def _without_boilerplate(text: str) -> str:
    if not _WORDS.search(text):
        return text
    lines = text.split(SEPARATOR)
    kept = [line for line in lines if len(line) > MAX_LINE_CHARACTERS or not _LINE.fullmatch(line)]
    return text if len(kept) == len(lines) else SEPARATOR.join(kept).strip("\n")
