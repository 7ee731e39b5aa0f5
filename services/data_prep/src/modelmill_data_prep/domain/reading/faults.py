"""Why a row cannot be read or mapped: a rule to count by, and words for people."""

from typing import NamedTuple


class Fault(NamedTuple):
    rule: str
    """Stage and rule, for example "read.not_json". Holds nothing of the row."""

    reason: str
    """For people. Names columns and limits, and no values either."""

    @property
    def written(self) -> str:
        """As the fault of a block's row."""
        return f"{self.rule}: {self.reason}"

    @classmethod
    def of(cls, written: str) -> "Fault":
        """The fault that was written so."""
        rule, _, reason = written.partition(": ")
        return cls(rule, reason)


NOT_UTF8 = Fault("read.not_utf8", "not UTF-8")
NOT_JSON = Fault("read.not_json", "not JSON")
NOT_AN_OBJECT = Fault("read.not_an_object", "not a JSON object")
TOO_DEEP = Fault("read.nested_too_deeply", "nested too deeply")
MALFORMED_CSV = Fault("read.malformed_csv", "malformed CSV")
UNCLOSED_QUOTE = Fault("read.unclosed_quote", "a quote that is never closed")
MORE_FIELDS = Fault("read.more_fields", "more fields than the header")
FEWER_FIELDS = Fault("read.fewer_fields", "fewer fields than the header")
NO_JSON_VALUE = Fault("read.no_json_value", "a value that JSON has no form for")


def not_in(encoding: str) -> Fault:
    """The row has bytes that are no text in the encoding that the file is read by."""
    return NOT_UTF8 if encoding == "utf-8" else Fault("read.not_in_encoding", f"not {encoding}")


_AT = ", from byte offset "
"""Before the place of the first byte that is no text; the one value that a reason holds."""


def not_text_at(fault: Fault, offset: int) -> str:
    """The reason of a row whose bytes are no text from there on, counted from the row's first."""
    return f"{fault.reason}{_AT}{offset} of the row"


def counted(reason: str) -> str:
    """What a row's reason is counted by: all of one kind together."""
    return reason.partition(_AT)[0]


def too_long(max_row_bytes: int) -> Fault:
    """The row has more bytes than this."""
    return Fault("read.too_long", f"longer than {max_row_bytes} bytes")
