"""Pages of HTML that open anywhere: without another file, a network or a script, in light and in dark."""

import html
from collections.abc import Sequence

# Nothing may be loaded or run, whatever a name holds.
CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6875; --line: #dde3e8; --paper: #ffffff; --tint: #f5f7f9;
        --bar: #0072b2; --warn: #b35900; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe6ec; --soft: #9fabb6; --line: #39434d; --paper: #1b2128; --tint: #12161b;
          --bar: #56b4e9; --warn: #e69f00; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1.5rem 1rem; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
"""
_LAYOUT = """
body { max-width: none; padding: 0; background: var(--tint); }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
@media (max-width: 600px) { main { padding: 20px 12px 40px; } }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 36px 0 12px; }
p { margin: 0 0 12px; color: var(--soft); max-width: 75ch; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 20px 0 0; }
dl div { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.card, details { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; }
.card { padding: 14px; margin-bottom: 12px; overflow-x: auto; }
details { margin: 0 0 10px; }
details details { margin: 8px 0 0; }
summary { cursor: pointer; padding: 10px 14px; font-weight: 600; overflow-wrap: anywhere; }
summary span { color: var(--soft); font-weight: 400; }
details > div { padding: 0 14px 14px; overflow-x: auto; }
.plots { display: flex; flex-wrap: wrap; gap: 12px; }
img { max-width: 100%; height: auto; display: block; background: #ffffff; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: 6px 10px; vertical-align: top; overflow-wrap: break-word; }
th.number, td.number { text-align: right; }
td.number, td.whole { white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--tint); }
td { min-width: 8em; }
td.number { min-width: 0; }
td:first-child { font-weight: 600; min-width: 15em; max-width: 22em; overflow-wrap: anywhere; }
td:last-child:not(.number):not(:first-child) { min-width: 13em; }
@media (max-width: 600px) {
  td:first-child { min-width: 8em; }
  .card img { max-width: none; min-width: 620px; } /* read by scrolling */
  details img { max-width: none; width: 420px; }
  dl { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 8px; }
}
td.bar { min-width: 80px; width: 20%; }
table.bars td.bar { width: 60%; }
table.bars td:first-child { min-width: 8em; }
td.bar div { background: var(--tint); border: 1px solid var(--line); border-radius: 4px; height: 14px; margin: 4px 0; }
td.bar div div { background: var(--bar); border: 0; border-radius: 3px; height: 100%; margin: 0; }
.warning { border-left: 4px solid var(--warn); }
.warning ul { margin: 0; padding-left: 20px; }
.warning li { overflow-wrap: anywhere; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
"""


def page(title: str, body: str, style: str = _STYLE) -> str:
    """Return a page.

    Args:
        title: Of the window, as text.
        body: The page, as HTML.
        style: Its rules. Defaults to those of a page of tables.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def laid_out(
    title: str, lead: str, tiles: Sequence[tuple[str, str]], sections: Sequence[str], footer: str, style: str = ""
) -> str:
    """Return a page with a heading, facts in tiles, and sections.

    Args:
        title: The heading, as text.
        lead: What is shown, in a sentence or two, as text.
        tiles: Names and values of facts, as text.
        sections: The rest, as HTML; empty ones are left out.
        footer: The last line, as text.
        style: Rules of this page besides those of all. Defaults to "", none.
    """
    facts = "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in tiles)
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(lead)}</p>", f"<dl>{facts}</dl>"]
    parts += [section for section in sections if section]
    parts += [f"<footer>{html.escape(footer)}</footer>"]
    body = "\n".join(parts)
    return page(title, f"<main>\n{body}\n</main>", f"{_STYLE}{_LAYOUT}{style}")


def bar(value: float, most: float) -> str:
    """Return a bar as HTML, as long as a value is large, beside the longest possible."""
    return f'<div><div style="width:{100 * value / most if most else 0:.1f}%"></div></div>'
