"""Forms are read alike, wherever they were cut on their way."""

from collections.abc import AsyncIterator

import pytest
from modelmill_gateway.domain.errors import BadRequestError, UnsupportedEncodingError
from modelmill_gateway.entrypoints.http.multipart import MultipartUpload

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--b--\r\n"


async def read(*pieces: bytes, boundary: str = "b") -> bytes:
    """The file of the form in these pieces."""

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    upload = MultipartUpload(f'multipart/form-data; boundary="{boundary}"', stream())
    await upload.open()
    return b"".join([chunk async for chunk in upload.chunks()])


async def test_a_file_is_the_same_wherever_its_form_was_cut():
    file = b"a\r\n--\r\n--bc\r--b"
    form = HEAD + file + END
    for at in range(len(form) + 1):
        assert await read(form[:at], form[at:]) == file
    assert await read(*(form[at : at + 1] for at in range(len(form)))) == file


@pytest.mark.parametrize("before", [b"\r\n", b"\r\nne\r\n", b"preamble\r\n", b"-"])
async def test_nothing_stands_before_the_first_boundary(before: bytes):
    form = before + HEAD + b"a" + END
    for at in range(len(before) + 5):
        with pytest.raises(BadRequestError, match="begin with its boundary"):
            await read(form[:at], form[at:])


async def test_a_part_without_a_name_is_refused():
    nameless = b'--b\r\nContent-Disposition: form-data; nam}e="x"\r\n\r\nvalue\r\n'
    with pytest.raises(BadRequestError, match="without a name"):
        await read(nameless + HEAD + b"a" + END)


@pytest.mark.parametrize("boundary", ["x", "x" * 70, "'()+_,-./:=? z"])
async def test_a_boundary_is_read_as_the_standard_has_it(boundary: str):
    form = (HEAD + b"a" + END).replace(b"--b", b"--" + boundary.encode())
    assert await read(form, boundary=boundary) == b"a"


@pytest.mark.parametrize(
    "boundary", ["x" * 71, "x" * 20_000, "x ", "x*", "\xe9", 'a\\"b'], ids=lambda text: text[:9]
)
async def test_another_boundary_is_refused(boundary: str):
    with pytest.raises(BadRequestError, match="boundary must be"):
        await read(HEAD + b"a" + END, boundary=boundary)


@pytest.mark.parametrize("name", ["Content-Encoding", "Content-Transfer-Encoding"])
@pytest.mark.parametrize("value", ["gzip", "base64", "quoted-printable"])
async def test_a_part_that_is_encoded_is_refused_rather_than_kept_so(name: str, value: str):
    form = HEAD.replace(b"\r\n\r\n", f"\r\n{name}: {value}\r\n\r\n".encode()) + b"YQ==" + END
    with pytest.raises(UnsupportedEncodingError, match="as they are"):
        await read(form)
    assert await read(form.replace(value.encode(), b"binary")) == b"YQ=="
