"""Writes the pages that mkdocs makes the site of, into build/docs-pages.

python -m deploy.site
"""

import sys

from deploy.site.pages import write_pages

if __name__ == "__main__":
    write_pages()
    sys.exit(0)
