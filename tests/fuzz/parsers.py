"""Everything that reads what strangers send to data-prep, the guard and the gateway, by name."""

from typing import get_args

from modelmill_data_prep.domain.reading.file_form import FileFormat
from modelmill_documents.document_format import is_document_format

from tests.fuzz.file_parsers import FileParser
from tests.fuzz.gateway_parsers import Events, Forms, Tokens
from tests.fuzz.guard_parsers import Normaliser, PolicyLoader, StreamedText
from tests.fuzz.row_parsers import LayoutParser, TemplateParser
from tests.fuzz.sound_rows import CALLING, ROWS
from tests.fuzz.tally import Parser
from tests.fuzz.text_parsers import EntitySearcher, JsonParser, SpecParser, TextCleaner
from tests.fuzz.wire_parsers import Boundaries, HttpRequests, RpcRequests

_FORMATS = [
    file_format for file_format in get_args(FileFormat) if not is_document_format(file_format)
]
"""Documents are read in a process of their own: `tests.bench.documents` breaks them."""
_TOOLS = {"messages_column": "messages", "tools_column": "tools"}

PARSERS: dict[str, Parser] = {
    **{file_format: FileParser(file_format) for file_format in _FORMATS},
    **{f"layout.{name}": LayoutParser(rows, {"layout": name}) for name, rows in ROWS.items()},
    "tools": LayoutParser(CALLING, _TOOLS, {"layout": "openai_chat"}),
    "template": TemplateParser(),
    "json": JsonParser(),
    "spec": SpecParser(),
    "clean": TextCleaner(),
    "entities": EntitySearcher(),
    "guard.normaliser": Normaliser(),
    "guard.policy": PolicyLoader(),
    "guard.stream": StreamedText(),
    "gateway.jwt": Tokens(),
    "gateway.multipart": Forms(),
    "gateway.sse": Events(),
    "gateway.http": HttpRequests(),
    "gateway.boundary": Boundaries(),
    "gateway.rpc": RpcRequests(),
}
"""File formats, layouts of rows, and the rest."""
