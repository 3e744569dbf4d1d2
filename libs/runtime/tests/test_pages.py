"""Debug pages: one source, two forms."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from tailring_runtime.pages import BadQuery, Page, Pages, Table
from tailring_runtime.zpages import ZPages, ZPagesConfig

HOSTILE = "<script>alert(1)</script>"


def backends(query: Mapping[str, str]) -> Page:
    """A page with a fact, a table, and a query that it may refuse."""
    if "odd" in query:
        raise BadQuery("odd is not a word of this page")
    rows = (("10.0.0.1:4317", 12_345, 0.25), (HOSTILE, 0, None), (["a", "b"], 0, 1))
    return Page(
        "Backends",
        facts={"exporter": query.get("exporter", "all")},
        tables=(Table("Members", ("address", "sent", "share"), rows),),
    )


async def asked(path: str, **headers: str) -> tuple[int, str, Mapping[str, str]]:
    """The status, the body and the headers of an answer."""
    pages = Pages()
    pages.add("backendz", backends, about="who the backends are")
    extension = ZPages(ZPagesConfig(endpoint="127.0.0.1:0"), pages=pages)
    await extension.start()
    try:
        async with (
            aiohttp.ClientSession(f"http://{extension.address}") as session,
            session.get(path, headers=headers) as response,
        ):
            return response.status, await response.text(), response.headers
    finally:
        extension.close()
        await extension.join(1)
        await extension.terminate()
        await extension.terminate()


async def test_html_shows_facts_and_tables() -> None:
    """A browser gets a table with figures that are easy to read."""
    status, text, headers = await asked("/debug/backendz?exporter=lb")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "<td>lb" in text
    assert "<td class=n>12,345<td class=n>0.25" in text
    assert "<td>a, b<td" in text
    assert "None" not in text


async def test_what_senders_chose_is_text() -> None:
    """Names are escaped, and scripts are forbidden besides."""
    _, text, headers = await asked("/debug/backendz")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_json_has_the_same_facts() -> None:
    """A program gets rows keyed by column."""
    _, text, _ = await asked("/debug/backendz", Accept="application/json")
    _, same, headers = await asked("/debug/backendz?format=json")
    assert text == same
    assert headers["Content-Type"].startswith("application/json")
    assert '{"address": "10.0.0.1:4317", "sent": 12345, "share": 0.25}' in text


async def test_the_index_lists_the_pages() -> None:
    """/debug links every page and says what it shows."""
    for path in ("/", "/debug", "/debug/"):
        status, text, _ = await asked(path)
        assert status == 200
        assert '<a href="/debug/backendz">' in text
        assert "who the backends are" in text


async def test_a_page_that_is_not_there_lists_those_that_are() -> None:
    """404 comes with the index."""
    status, text, _ = await asked("/debug/tracez")
    assert status == 404
    assert "/debug/backendz" in text


async def test_a_query_that_is_not_understood_is_refused() -> None:
    """400 says what was wrong, in plain text."""
    status, text, headers = await asked("/debug/backendz?odd=1")
    assert status == 400
    assert text == "/debug/backendz: odd is not a word of this page\n"
    assert headers["Content-Type"].startswith("text/plain")
