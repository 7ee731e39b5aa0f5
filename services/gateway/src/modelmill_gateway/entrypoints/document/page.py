"""Pages of ours for people: one file each, and nothing that a browser would have to fetch."""

from html import escape

STYLE = """
:root { color-scheme: light dark }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }
code, pre { font: .875rem/1.4 ui-monospace, monospace }
pre { overflow: auto; padding: .75rem; border: 1px solid #8884; border-radius: .25rem }
nav a { margin-right: .75rem; display: inline-block }
details { border-bottom: 1px solid #8884; padding: .4rem 0 }
details[open] { padding-bottom: 1rem }
summary { cursor: pointer; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #8884; padding: .25rem .75rem .25rem 0; vertical-align: top }
h4 { margin: 1rem 0 .25rem }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
LINKS = (
    ("/docs", "every route with its scope, fields, answers and examples"),
    ("/openapi.json", "the same for programs: an OpenAPI 3.1 document"),
    ("/asyncapi.json", "the bus, for who subscribes there: an AsyncAPI document"),
    ("/healthz", "whether the process runs and stays"),
    ("/readyz", "whether to send requests here"),
)


def page(title: str, body: str) -> bytes:
    """A whole page.

    Args:
        body: HTML, in which what others wrote is escaped.
    """
    return PAGE.format(title=escape(title), style=STYLE, body=body).encode()


def index_page() -> bytes:
    """What a browser at the root is shown: where to look."""
    rows = (f'<li><a href="{path}">{path}</a>: {said}</li>' for path, said in LINKS)
    return page(
        "Modelmill",
        "<p>An OpenAI-compatible API: clients take this address with <code>/v1</code> behind it as"
        " their base URL, and a token or an API key (<code>mill token</code>,"
        f" <code>mill keys create NAME</code>).</p><ul>{''.join(rows)}</ul>",
    )
