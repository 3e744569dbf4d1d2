"""``tailring explain``: what became of a trace, asked from a sampler's debug pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tailring_cli.errors import CliError

__all__ = ["DEFAULT_URL", "ask", "explained"]

DEFAULT_URL: Final = "http://localhost:55679"
_TIMEOUT_S: Final = 10.0
_VOTES: Final = "Votes"


def ask(trace_id: str, url: str = DEFAULT_URL) -> dict[str, Any]:
    """The page of a trace as JSON. Raises `CliError` when it cannot be had."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise CliError(f"--url must begin with http:// or https://, not {url!r}")
    where = f"{url.rstrip('/')}/debug/tracez?trace_id={trace_id}"
    headers = {"Accept": "application/json"}
    try:
        with urlopen(Request(where, headers=headers), timeout=_TIMEOUT_S) as answer:
            page: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        with error:
            hint = " (is it a sampler?)" if error.code == 404 else ""
            raise CliError(f"{where} answers {error.code}{hint}") from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise CliError(
            f"{url} does not answer: {reason}; --url is the sampler's `zpages` endpoint"
        ) from error
    except ValueError as error:
        raise CliError(f"{where} is no debug page of a sampler") from error
    if not _rows(page, "Trace"):
        raise CliError(f"{where} knows no tail_sampling processor")
    return page


def explained(page: Mapping[str, Any]) -> str:
    """The page as text: a block for each processor that knows the trace."""
    trace_id = page["facts"]["trace_id"]
    votes = _rows(page, _VOTES)
    blocks = [_block(trace_id, row, votes) for row in _rows(page, "Trace")]
    return "\n\n".join(blocks)


def _block(
    trace_id: str, row: Mapping[str, Any], votes: Iterable[Mapping[str, Any]]
) -> str:
    by = f" by {row['policy']}" if row["policy"] else ""
    lines = [f"{trace_id} in {row['processor']}: {row['state']}{by}"]
    names = ("decision", "when", "spans", "bytes", "late_spans", "note")
    shown = {name: row[name] for name in names if row[name] not in (None, "", 0)}
    if row["age_s"] is not None:
        shown["age"] = f"{row['age_s']:.3f} s"
    lines += [f"  {name.replace('_', ' ')}: {value}" for name, value in shown.items()]
    for vote in votes:
        if vote["processor"] == row["processor"]:
            why = f" ({vote['why']})" if vote["why"] else ""
            lines.append(f"  {vote['policy']}: {vote['vote']}{why}")
    return "\n".join(lines)


def _rows(page: Mapping[str, Any], title: str) -> list[Mapping[str, Any]]:
    tables = page.get("tables", ())
    return [row for table in tables if table["title"] == title for row in table["rows"]]
