"""The documentation site, where it was built, and the API reference in any case."""

from pathlib import Path

from modelmill_service_kit.errors import NotFoundError
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from modelmill_gateway.entrypoints.document.site_files import (
    SITE_POLICY,
    SiteFiles,
    packaged_site,
)


class DocumentationRoutes:
    """Open to all, as documents are.

    Args:
        folder: of the built site; None for the one in the package.
    """

    def __init__(self, folder: Path | None) -> None:
        self._files = SiteFiles(folder or packaged_site())

    async def documentation(self, _: Request) -> Response:
        """Redirect to the first page, or to the API reference where no site was built."""
        return RedirectResponse("/docs/index.html" if self._files else "/docs/api")

    async def documentation_page(self, request: Request) -> Response:
        """A page, or what pages load.

        Raises:
            NotFoundError: the site has no such file.
        """
        found = self._files.get(request.path_params["page"])
        if found is None:
            raise NotFoundError("there is no such page. /docs leads to the first one")
        file, media_type = found
        headers = {"content-security-policy": SITE_POLICY, "cache-control": "no-cache"}
        return FileResponse(file, headers=headers, media_type=media_type)
