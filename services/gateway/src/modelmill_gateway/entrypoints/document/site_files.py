"""Sites as files: what `make docs` and `make console` built, and of which kinds files are."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}
"""By the ends of names; files that end otherwise are not served."""
SITE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""The site's pages run their own scripts (search), nothing inline and nothing from elsewhere."""


def packaged_site() -> Path:
    """Folder of the site in the package; `make docs` fills it, and without that it is absent."""
    return Path(str(resources.files("modelmill_gateway") / "site"))


def packaged_console() -> Path:
    """The same of the web console, which `make console` builds."""
    return Path(str(resources.files("modelmill_gateway") / "console"))


class SiteFiles:
    """Files of a site by their paths in it, as they were at the start.

    What is not in the table is not there: no path is ever joined to the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {
            file.relative_to(folder).as_posix(): file
            for file in (folder.rglob("*") if folder.is_dir() else ())
            if file.is_file() and not file.is_symlink() and file.suffix in MEDIA_TYPES
        }

    def __bool__(self) -> bool:
        """Whether there is a site."""
        return "index.html" in self._files

    def get(self, path: str) -> tuple[Path, str] | None:
        """A file and its media type."""
        file = self._files.get(path)
        return None if file is None else (file, MEDIA_TYPES[file.suffix])
