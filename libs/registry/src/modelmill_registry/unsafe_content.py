"""Detection of files that could run code when loaded, by name and content.

Nothing of ours unpickles, but artifacts leave the store for tools that do. This keeps out pickles,
archives that hold them and scripts. It does not judge the operators of a graph file; chat templates
are judged by `template_problems`, when a model comes in.
"""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import jinja2
import jinja2.ext
from jinja2 import nodes

REFUSED_SUFFIXES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
_CODE_SUFFIXES = frozenset(
    {".py", ".pyc", ".pyd", ".pyw", ".pyx", ".ipynb", ".so", ".dll", ".dylib", ".exe", ".sh"}
)
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OFFICE_FOLDERS = ("xl/", "word/")
_OFFICE_SUFFIXES = frozenset(
    {
        *("xml", "rels", "vml", "bin", "odttf"),
        *("png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "svg", "wdp", "emf", "wmf"),
    }
)
"""Of what Excel and Word pack: settings of printers, fonts and pictures, too."""
_NUMPY_MAGIC = b"\x93NUMPY"
_NUMPY_HEADER_BYTES = 1024
_MAX_OPCODES = 100_000
_PROTO = b"\x80"
_MIN_OPCODES = 3
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_TUPLES = frozenset({"TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]*")


def unsafe_reason(path: str, content: BinaryIO, *, kind: str) -> str | None:
    """Why this file may not enter an artifact of `kind`, or None when it may.

    Args:
        path: Relative path, for its suffix.
        content: Seekable, at its start; read a little and left anywhere.
        kind: The artifact's kind; scripts are refused in models only.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in REFUSED_SUFFIXES:
        return f"has the suffix of a pickle ({suffix})"
    if kind == "model" and suffix in _CODE_SUFFIXES:
        return f"is code ({suffix})"
    head = content.read(_NUMPY_HEADER_BYTES)
    if head.startswith(_ZIP_MAGIC) and not (kind == "file" and _is_office_file(content)):
        return "is a zip archive, as torch.save and numpy.savez write them"
    if head.startswith(_NUMPY_MAGIC) and re.search(rb"'descr':[^}]*O", head):
        return "is a numpy file of objects, which is a pickle"
    # Prose can look like a protocol-0 pickle; uploads and rows are text and are never loaded.
    if _is_pickle(content, without_header=kind not in ("file", "dataset")):
        return "is a pickle"
    return None


def _is_office_file(content: BinaryIO) -> bool:
    """Whether a zip archive is an Excel workbook or a Word document, with no entry that an
    unpickler looks for."""
    try:
        with zipfile.ZipFile(content) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    # The name of one is ".rels".
    suffixes = {name.rpartition(".")[2].lower() for name in names if not name.endswith("/")}
    return (
        "[Content_Types].xml" in names
        and any(name.startswith(_OFFICE_FOLDERS) for name in names)
        and suffixes <= _OFFICE_SUFFIXES
    )


def _is_pickle(content: BinaryIO, *, without_header: bool) -> bool:
    """Whether an unpickler would get somewhere with this content; only the opcodes are read.

    With a protocol header a few well-formed opcodes are enough (raw weights may start with the
    same two bytes by chance). Without it a call must be built, as any harmful pickle does.
    """
    content.seek(0, 2)
    size = content.tell()
    content.seek(0)
    header = content.read(2)
    with_header = header[:1] == _PROTO and header[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
    content.seek(0)
    if not with_header and not without_header:
        return False
    seen: set[str] = set()
    for count, name in enumerate(_opcode_names(content, size), start=1):
        if with_header and (name == "STOP" or count > _MIN_OPCODES):
            return True
        if name == "STOP":
            return False
        if _is_call(name, seen):
            return True
        seen.add(name)
    return False


def _is_call(name: str, seen: set[str]) -> bool:
    """Whether opcode `name`, after the `seen` ones, calls something that the pickle names."""
    if name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
        return bool(seen & {"GLOBAL", "STACK_GLOBAL"}) and bool(seen & _TUPLES)
    return (name == "INST" and "MARK" in seen) or (name == "OBJ" and {"MARK", "GLOBAL"} <= seen)


def _opcode_names(content: BinaryIO, size: int) -> Iterator[str]:
    """Names of the opcodes from the start, until one is malformed; arguments are skipped."""
    for _ in range(_MAX_OPCODES):
        opcode = _OPCODES.get(content.read(1))
        if opcode is None:
            return
        if opcode.name in ("GLOBAL", "INST"):
            pair = (content.readline(512), content.readline(512))
            if not all(line[-1:] == b"\n" and _IDENTIFIER.fullmatch(line[:-1]) for line in pair):
                return
        elif opcode.arg is not None and not _skip_argument(content, opcode.arg.n, size):
            return
        yield opcode.name


def _skip_argument(content: BinaryIO, width: int, size: int) -> bool:
    """Step over an argument whose `width` is as in pickletools; False when it does not fit."""
    if width == pickletools.UP_TO_NEWLINE:
        return _skip_line(content)
    if width < 0:
        prefix = {
            pickletools.TAKEN_FROM_ARGUMENT1: 1,
            pickletools.TAKEN_FROM_ARGUMENT4: 4,
            pickletools.TAKEN_FROM_ARGUMENT4U: 4,
            pickletools.TAKEN_FROM_ARGUMENT8U: 8,
        }[width]
        width = int.from_bytes(content.read(prefix), "little")
    end = content.tell() + width
    if end > size:
        return False
    content.seek(end)
    return True


def _skip_line(content: BinaryIO) -> bool:
    """Step over a line of any length; False when the file ends first."""
    while part := content.readline(1 << 16):
        if part.endswith(b"\n"):
            return True
    return False


MAX_TEMPLATE_CHARS = 1_000_000
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Hugging Face's mark for training masks, which plain Jinja does not know."""
_READS_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_FUNCTION_ATTRIBUTES = frozenset({"mro", "gi_frame", "gi_code", "cr_frame", "ag_frame"})


def template_problems(source: str) -> list[str]:
    """Why this chat template may not come in; empty when it may.

    The reader renders templates in a sandbox, which is the final check. This check refuses them on
    import, names the line, and keeps such templates out of artifacts that other tools load.
    """
    if len(source) > MAX_TEMPLATE_CHARS:
        return [f"is longer than {MAX_TEMPLATE_CHARS} characters"]
    environment = jinja2.Environment(extensions=[jinja2.ext.loopcontrols], autoescape=False)
    try:
        tree = environment.parse(_GENERATION_TAG.sub("", source))
        return sorted(set(_reaches(tree)))
    except jinja2.TemplateSyntaxError as error:
        return [f"is not a Jinja template: line {error.lineno}: {error.message}"]
    except RecursionError:
        return ["is nested too deeply"]


def template_texts(document: object) -> list[str]:
    """The templates in a tokenizer's JSON: one text, or a list of named ones."""
    found = document.get("chat_template") if isinstance(document, dict) else None
    named = found if isinstance(found, list) else [{"template": found}]
    texts: list[Any] = [entry.get("template") for entry in named if isinstance(entry, dict)]
    return [text for text in texts if isinstance(text, str)]


def _reaches(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, _READS_FILES):
            yield f"reads another file, line {node.lineno}"
        elif isinstance(node, nodes.Filter) and node.name == "attr":
            yield f"uses the filter attr, line {node.lineno}"
        name = _attribute(node)
        if name.startswith("_") or name in _FUNCTION_ATTRIBUTES:
            yield f"reaches for the attribute {name[:40]}, line {node.lineno}"


def _attribute(node: nodes.Node) -> str:
    """The name behind a dot or in constant brackets, else nothing."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.arg.value if isinstance(node.arg.value, str) else ""
    return ""
