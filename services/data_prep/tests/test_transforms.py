"""What goes and what stays, transform by transform."""

from functools import cache

import pyarrow as pa
import pytest
from modelmill_data_prep.domain.cleaning.boilerplate import LINE_RULES
from modelmill_data_prep.domain.cleaning.clean_plan import plan_clean
from modelmill_data_prep.domain.cleaning.stage import CleanStage
from modelmill_data_prep.domain.row_batch import ROWS
from modelmill_data_prep.domain.stages import TextTransform
from modelmill_data_prep.pipeline.worker_parts import MAKERS, clean_transforms

BOILERPLATE = {
    "en.cookies": "This website uses cookies to improve your experience.",
    "en.accept_cookies": "Accept all cookies",
    "en.copyright": "Copyright © 2021 Foo Inc.",
    "en.rights": "Foo Inc. All rights reserved.",
    "en.legal": "Privacy Policy | Terms of Use | Contact us",
    "en.share": "Share this on Facebook",
    "en.subscribe": "Sign up for our weekly newsletter",
    "en.follow": "Follow us on Twitter and Instagram",
    "en.navigation": "Skip to main content",
    "en.menu": "Home | News | Blog",
    "en.comments": "12 comments",
    "zh.cookies": "本网站使用 Cookies，继续浏览即表示同意",
    "zh.copyright": "版权所有 © 2020 某某有限公司",
    "zh.rights": "未经许可不得转载",
    "zh.filing": "京ICP备12345678号",
    "zh.share": "分享到：微信 微博",
    "zh.follow": "扫码关注公众号",
    "zh.navigation": "返回顶部",
    "zh.menu": "首页 | 新闻 | 产品",
    "zh.editor": "责任编辑：张三",
    "zh.disclaimer": "免责声明：本文内容由用户上传",
}


@cache
def made(name: str) -> TextTransform:
    return MAKERS[name]()


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a < b and c > d, x<y", "a < b and c > d, x<y"),
        ("List<String> x = new ArrayList<>();", "List<String> x = new ArrayList<>();"),
        ("Use the <b> tag", "Use the <b> tag"),
        ("if a<b then <i>stop</i>", "if a<b then stop"),
        ("<p>Hello <b>you</b></p><script>x<y</script><p>Tom &amp; Co</p>", "Hello you\n\nTom & Co"),
        ("<div>one\n two</div><ul><li>a<li>b</ul>", "one two\n\na\n\nb"),
        ("line<br>\nnext<br/>last", "line\nnext\nlast"),
        ("<a href='http://x.y/?a=1&b=2'>link</a> text", "link text"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "1 2"),
        ("see <!-- not this --> that <i>x</i>", "see  that x"),
        ("use `<b>x</b>` for <b>bold</b>", "use `<b>x</b>` for bold"),
        ("```html\n<p>x &amp; y</p>\n```\n<i>z</i>", "```html\n<p>x &amp; y</p>\n```\nz"),
        ("# Title\n\n* **bold** [a](b)", "# Title\n\n* **bold** [a](b)"),
        ("&#32431;&#x4e2d; &copy; &euro;", "纯中 © €"),
        ("&lt;b&gt;bold&lt;/b&gt; is &lt; 3", "&lt;b>bold&lt;/b> is < 3"),
        ("AT&T &unknown; R&D", "AT&T &unknown; R&D"),
        ("a <p and q> b, i <hr or so", "a <p and q> b, i <hr or so"),
        ("see </script> and <script> here", "see  and  here"),
        ("one<p>two</div>three", "one\ntwo\nthree"),
        ("<math><mi>x</mi></math> <i>is</i> <p>x", "<math><mi>x</mi></math> is\nx"),
    ],
)
def test_a_page_becomes_what_its_reader_sees(page: str, text: str) -> None:
    assert made("markup")([page]) == [text]


def test_a_page_may_be_nested_deeply() -> None:
    page = "<div>" * 20_000 + "deep" + "</div>" * 20_000

    assert made("markup")([page]) == ["deep"]


@pytest.mark.parametrize(
    ("loop", "text"),
    [
        ("哈" * 20, "哈哈哈哈哈"),
        ("哈" * 5, "哈哈哈哈哈"),
        ("no" + "o" * 9 + "!!!!!!!!", "nooooo!!!!!"),
        ("好的" * 10 + "吧", "好的好的好的吧"),
        ("I am happy. " * 6 + "end", "I am happy. " * 3 + "end"),
        ("a\n" * 9, "a\n" * 3),
        ("x" + "\n" + "a long line, " * 9, "x\n" + "a long line, " * 3),
        ("\n".join(["y" + "z" * 3 + "abc" * 40] * 5), None),
        ("-" * 30 + "\n" + "|---|---|---|---|---|", "-" * 30 + "\n" + "|---|---|---|---|---|"),
        ("10000000000 and 0, 0, 0, 0, 0, 0", "10000000000 and 0, 0, 0, 0, 0, 0"),
        ("        deeply indented", "        deeply indented"),
    ],
)
def test_a_loop_is_cut_and_what_is_drawn_or_counted_stays(loop: str, text: str | None) -> None:
    expected = "\n".join(["yzzz" + "abc" * 3] * 3) if text is None else text

    assert made("repeats")([loop]) == [expected]


def test_texts_that_are_the_same_are_no_loop() -> None:
    assert made("repeats")(["好的"] * 9) == ["好的"] * 9


@pytest.mark.parametrize("rule", [rule.id for rule in LINE_RULES])
def test_a_line_that_pages_carry_around_goes(rule: str) -> None:
    line = BOILERPLATE[rule]

    assert made("boilerplate")([f"The text.\n{line}", f"正文。\n  {line}  "]) == [
        "The text.",
        "正文。",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *BOILERPLATE.values(),
        "We share this because it is good, and everybody should know how it was made.\nYes.",
        "我来分享到店的感受\n不错",
        "Read more books!\nIt helps.",
        "新闻说明天下雨\n带伞",
    ],
)
def test_what_somebody_says_stays(text: str) -> None:
    assert made("boilerplate")([text]) == [text]


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [("時間過去了", "时间过去了"), ("頭髮與發財", "头发与发财"), ("乾坤", "乾坤"), ("ok", "ok")],
)
def test_traditional_characters_become_simplified_ones(traditional: str, simplified: str) -> None:
    assert made("simplified")([traditional, "漢"]) == [simplified, "汉"]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("The cat is on the mat.", "cat mat."),
        ("我们的酒店", "酒店"),
        ("no", "no"),
        ("the", "the"),
    ],
)
def test_stop_words_go_unless_nothing_else_is_there(text: str, rest: str) -> None:
    assert made("stop_words")([text]) == [rest]


def rows_of(contents: list[list[str]], rejected: list[str | None]) -> pa.RecordBatch:
    count = len(contents)
    columns = {
        "line": list(range(count)),
        "source": [bytes(32)] * count,
        "roles": [["user"] * len(one) for one in contents],
        "contents": contents,
        "extras": [[None] * len(one) for one in contents],
        "tools": [None] * count,
        "rejected": rejected,
        "changes": [[] for _ in contents],
        "made_by": [None] * count,
        "document": [None] * count,
    }
    return pa.RecordBatch.from_pydict(columns, schema=ROWS)


def test_a_pair_whose_answers_become_the_same_is_dropped() -> None:
    stage = CleanStage(clean_transforms(plan_clean({})))
    rows = rows_of([["q", "fine"], ["q", "a  b"], ["q", "c"]], ["bad", "a b", "c  d"])

    for batch in (rows, rows.slice(1)):
        passed = stage(batch)

        assert passed.dropped.column("rule").to_pylist() == ["clean.same_answers"]
        assert passed.dropped.column("line").to_pylist() == [1]


def test_a_stage_cleans_turns_and_rejected_answers_and_names_who_changed_them() -> None:
    stage = CleanStage(clean_transforms(plan_clean({})))
    rows = rows_of(
        [["skip"], ["a  b", "cafÃ©"], ["\u200b", "x"], ["fine"]], [None, "c  d", None, None]
    )

    for batch in (rows, rows.slice(1)):
        passed = stage(batch)
        kept = passed.rows.slice(passed.rows.num_rows - 2)

        assert kept.column("contents").to_pylist() == [["a b", "café"], ["fine"]]
        assert kept.column("rejected").to_pylist() == ["c d", None]
        assert kept.column("changes").to_pylist() == [["encoding@1", "spaces@2"], []]
        assert passed.dropped.column("rule").to_pylist() == ["clean.invisible.nothing_left"]
        assert passed.changed == 1
