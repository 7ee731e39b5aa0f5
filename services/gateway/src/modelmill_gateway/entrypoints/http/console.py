"""The web console, where it was built: files that run in a browser and use the public API."""

from pathlib import Path
from urllib.parse import urlsplit

from modelmill_service_kit.errors import NotFoundError
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from modelmill_gateway.entrypoints.document.site_files import SiteFiles, packaged_console
from modelmill_gateway.entrypoints.http.request_head import takes_gzip
from modelmill_gateway.entrypoints.schemas.base import WholeList
from modelmill_gateway.entrypoints.schemas.sign_in import SignInOption
from modelmill_gateway.ports import SignInSource

HASHED = "assets/"
"""Files in it have a hash of their content in their name."""
CONSOLE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
}
"""Scripts of the console alone, no inline ones, no other hosts, and no HTML made out of text: a
credential is in the page, and models answer there."""


class ConsoleRoutes:
    """Open to all: a person signs in on the page, and every request of it is authenticated.

    Args:
        folder: of the built console; None for the one in the package.
        sign_in: providers at which people sign in.
    """

    def __init__(self, folder: Path | None, sign_in: SignInSource) -> None:
        self._files = SiteFiles(folder or packaged_console())
        self._sign_in = sign_in

    async def list_sign_in(self, _: Request) -> WholeList[SignInOption]:
        found = self._sign_in.providers
        return WholeList[SignInOption](data=[SignInOption.of(each) for each in found])

    async def console(self, _: Request) -> Response:
        """Redirect to its page, which a browser does with all that stands behind `#`.

        Raises:
            NotFoundError: it was not built.
        """
        if not self._files:
            raise NotFoundError(
                "this gateway has no web console. Build it with `make console`, which needs Node,"
                " and start the gateway again"
            )
        return RedirectResponse("/console/index.html")

    async def console_page(self, request: Request) -> Response:
        """A file of it, compressed for who takes that.

        Raises:
            NotFoundError: there is no such file.
        """
        path: str = request.path_params["page"]
        found = self._files.get(path)
        if found is None:
            raise NotFoundError("there is no such file. /console leads to the console")
        file, media_type = found
        is_hashed = path.startswith(HASHED)
        caching = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        headers = CONSOLE_HEADERS | {"cache-control": caching}
        headers["content-security-policy"] = self._policy()
        small = file.with_name(f"{file.name}.gz")
        if takes_gzip(request.headers) and small.is_file():
            return FileResponse(
                small, headers=headers | {"content-encoding": "gzip"}, media_type=media_type
            )
        return FileResponse(file, headers=headers, media_type=media_type)

    def _policy(self) -> str:
        """The policy of contents; codes are exchanged for tokens at the providers themselves."""
        policy = CONSOLE_HEADERS["content-security-policy"]
        places = {_origin(each.token_endpoint) for each in self._sign_in.providers}
        return policy.replace(
            "connect-src 'self'", " ".join(["connect-src 'self'", *sorted(places)])
        )


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
