"""Small HTTP requests to servers on this machine, past any proxy of the environment."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

__all__ = ["call_json", "get", "get_json"]

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _open(request: urllib.request.Request, timeout_s: float) -> tuple[int, bytes]:
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:  # an answer like any other; only its status says no
            return error.code, error.read()


def get(url: str, *, timeout_s: float = 10.0) -> tuple[int, bytes]:
    """Status and body of a GET; raises OSError when nobody answers."""
    return _open(urllib.request.Request(url), timeout_s)


def get_json(url: str, *, timeout_s: float = 10.0) -> Any:
    """The JSON that a GET answers; fails on any status but 200."""
    status, body = get(url, timeout_s=timeout_s)
    assert status == 200, f"{url}: {status} {body[:500]!r}"
    return json.loads(body)


def call_json(url: str, body: object = None, *, method: str = "POST") -> Any:
    """Send JSON; the JSON answered, or None for an empty answer. Fails on 4xx, 5xx."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    status, answer = _open(request, 10.0)
    assert status < 400, f"{method} {url}: {status} {answer[:500]!r}"
    return json.loads(answer) if answer else None
