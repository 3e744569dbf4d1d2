"""Debug pages: what a process knows of itself, as JSON and as plain HTML.

A page is a function from the query of a request to a `Page`, asked anew each time and
on the event loop: it must not wait. Both forms show the same facts. JSON is answered
when the client accepts it or asks with ``?format=json``; what it holds may grow, a key
that is there keeps its meaning.

Pages hold no secret: addresses, names, counts. They are served where ``zpages`` says
and nowhere by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Final

from aiohttp import web

__all__ = ["BadQuery", "Page", "PageSource", "Pages", "Table", "pages_app"]

ROOT: Final = "/debug"

_STYLE: Final = (
    "body{font:14px system-ui,sans-serif;margin:1.5em}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}td{min-width:3em}"
    "th,td{border:1px solid #bbb;padding:.25em .6em;text-align:left}"
    "th{background:#eee}td.n{text-align:right;font-variant-numeric:tabular-nums}"
)


class BadQuery(ValueError):
    """Raised by a page for a query that it does not understand; the text is shown."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind; every row has a value for each column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def as_json(self) -> dict[str, object]:
        """The rows as objects keyed by column."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows}


@dataclass(frozen=True, slots=True)
class Page:
    """Single facts first, then tables."""

    title: str
    facts: Mapping[str, object] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Everything, ready for a JSON encoder."""
        tables = [table.as_json() for table in self.tables]
        return {"title": self.title, "facts": dict(self.facts), "tables": tables}


# From the query (?name=value) to the page of this moment.
PageSource = Callable[[Mapping[str, str]], Page]


class Pages:
    """The pages of one process by the last word of their path."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[str, PageSource]] = {}

    def add(self, name: str, source: PageSource, *, about: str) -> None:
        """Serve ``source`` as ``/debug/<name>``; ``about`` stands in the index."""
        self._sources[name] = (about, source)

    def page(self, name: str, query: Mapping[str, str]) -> Page:
        """The page of this moment. Raises KeyError and `BadQuery`."""
        return self._sources[name][1](query)

    def index(self) -> Page:
        """The page that lists the others."""
        rows = tuple((f"{ROOT}/{name}", it[0]) for name, it in self._sources.items())
        return Page("Debug pages", tables=(Table("Pages", ("path", "shows"), rows),))


def pages_app(pages: Pages) -> web.Application:
    """The HTTP application that serves ``pages`` below ``/debug``."""

    async def index(request: web.Request) -> web.Response:
        """All pages."""
        return _answer(request, pages.index())

    async def show(request: web.Request) -> web.Response:
        """One page, or what pages there are."""
        name = request.match_info["name"]
        try:
            return _answer(request, pages.page(name, request.query))
        except KeyError:
            return _answer(request, pages.index(), status=HTTPStatus.NOT_FOUND)
        except BadQuery as error:
            text = f"{request.path}: {error}\n"
            return web.Response(text=text, status=HTTPStatus.BAD_REQUEST)

    app = web.Application()
    for path in ("/", ROOT, f"{ROOT}/"):
        app.router.add_get(path, index)
    app.router.add_get(ROOT + "/{name}", show)
    return app


def _answer(
    request: web.Request, page: Page, *, status: int = HTTPStatus.OK
) -> web.Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    accepts = request.headers.get("Accept", "")
    wants_json = "application/json" in accepts or request.query.get("format") == "json"
    if wants_json:
        return web.json_response(page.as_json(), status=status, headers=headers)
    headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    text = _html(page)
    return web.Response(
        text=text, status=status, content_type="text/html", headers=headers
    )


def _html(page: Page) -> str:
    facts = tuple((name, value) for name, value in page.facts.items())
    tables = [Table("", ("fact", "value"), facts)] if facts else []
    body = "".join(_html_table(table) for table in (*tables, *page.tables))
    title = escape(page.title)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}</style><h1>{title}</h1>{body}</html>"
    )


def _html_table(table: Table) -> str:
    heading = f"<h2>{escape(table.title)}</h2>" if table.title else ""
    # Words, so that a long heading breaks and leaves room for what is long below it.
    heads = (name.replace("_", " ") for name in table.columns)
    head = "".join(f"<th>{escape(name)}" for name in heads)
    rows = "".join(f"<tr>{''.join(map(_html_cell, row))}" for row in table.rows)
    return f"{heading}<table><tr>{head}{rows}</table>"


def _html_cell(value: object) -> str:
    if isinstance(value, float):
        return f"<td class=n>{value:,.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"<td class=n>{value:,}"
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = "" if value is None else escape(str(value))
    if text.startswith(f"{ROOT}/"):
        text = f'<a href="{text}">{text}</a>'
    return f"<td>{text}"
