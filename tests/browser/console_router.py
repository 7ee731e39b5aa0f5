"""Pages of the console as its router has them: what is shown at which address."""

import re
from pathlib import Path

CONSOLE = Path(__file__).parents[2] / "services" / "gateway" / "console"
ROUTER = CONSOLE / "src" / "pages" / "index.ts"
ROW = re.compile(r'\{\s*name: "(?P<name>\w*)",.*?\}', re.DOTALL)
FORM = re.compile(r"\b([A-Z]\w*): \w+Page\b")
LIST = "List"
SIGN_IN = "sign-in"


def page_names() -> list[str]:
    """A name of each: `jobs`, `jobs-one`, `jobs-new`; that of the sign-in comes first."""
    rows = list(ROW.finditer(ROUTER.read_text("utf-8")))
    named = [(row["name"] or "home", form) for row in rows for form in FORM.findall(row[0])]
    return [
        SIGN_IN,
        *(name if form == LIST else f"{name}-{form.lower()}" for name, form in named),
    ]
