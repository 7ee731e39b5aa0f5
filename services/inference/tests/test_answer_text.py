from hypothesis import given
from hypothesis import strategies as st
from modelmill_inference.answer_writer import AnswerText, StopScanner
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

FEW_LETTERS = st.text(alphabet="abc", max_size=30)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=4)


def letter_by_letter(text: str, stops: list[str]) -> tuple[str, str]:
    """What the rule says: the text up to the stop that is complete first, the longest of those."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            first = max(complete, key=len)
            return text[: end - len(first)], first
    return text, ""


@given(text=FEW_LETTERS, stops=STOPS, cuts=st.lists(st.integers(1, 6), max_size=30))
def test_text_ends_before_the_stop_that_is_complete_first_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    scanner, out, start = StopScanner(stops), "", 0
    for size in [*cuts, len(text)]:
        out += scanner.push(text[start : start + size])
        start += size
    out += scanner.flush()

    assert (out, scanner.stopped_by) == letter_by_letter(text, stops)


def test_only_what_may_become_a_stop_text_is_held_back() -> None:
    scanner = StopScanner(["\n\nQ:"])

    assert scanner.push("yes\n") == "yes"
    assert scanner.push("\nno") == "\n\nno"
    assert scanner.push("\n\nQ") == ""
    assert scanner.flush() == "\n\nQ"


def test_a_stop_text_is_found_across_tokens_and_inside_characters(
    tokenizer: ChatTokenizer,
) -> None:
    text = AnswerText(tokenizer, ["价格"])

    out = [text.push([token]) for token in tokenizer.encode("a 价格 b")]

    assert "".join(out) + text.finish() == "a "
    assert text.stopped


def test_a_stop_text_in_what_is_kept_back_at_the_end_counts(tokenizer: ChatTokenizer) -> None:
    text = AnswerText(tokenizer, ["\ufffd"])

    assert text.push(tokenizer.encode("a😀")[:3]) == ""
    assert text.finish() == "a"
    assert text.stopped
