"""Where our answers differ from the collector's on purpose, for bodies of any signal.

Row of docs/compatibility.md -> name of a request -> (the collector's answer, ours).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["JSON_ROWS", "METRICS_ROWS", "Rows", "answers_of"]

Rows = Mapping[str, Mapping[str, tuple[int, int]]]

JSON_ROWS: Rows = {
    "JSON: what follows the document": {
        "trailing-garbage": (200, 400),
        "two-documents": (200, 400),
    },
    "JSON: null": {
        "ids-null": (400, 200),
        "time-null": (400, 200),
        "kind-null": (400, 200),
        "status-code-null": (400, 200),
    },
    "JSON: forms of numbers": {
        "time-whole-float": (400, 200),
        "time-exponent": (400, 200),
        "value-int-whole-float": (400, 200),
        "value-double-hex": (200, 400),
    },
    "JSON: base64": {
        "value-bytes-url-safe": (400, 200),
        "value-bytes-unpadded": (400, 200),
    },
    "JSON: text that is not UTF-8": {
        "bad-utf8": (200, 200),
        "bad-utf8-surrogate": (200, 200),
    },
    "JSON: a byte order mark": {"bom": (500, 200)},
    "JSON: depth": {"deep-value-2000": (200, 400)},
    "errors that cannot be written": {
        "garbage": (500, 400),
        "utf-16": (500, 400),
        "flags-negative": (500, 400),
    },
}

# What metrics have beside: numbers in many places.
_WHOLE = (
    "as-int", "count", "bucket-count", "scale", "zero-count", "offset", "positive",
    "point-flags",
)  # fmt: skip
_NUMBERS = (
    *_WHOLE, "as-double", "sum", "bound", "zero-threshold", "quantile", "summary-sum",
)  # fmt: skip
METRICS_ROWS: Rows = {
    "JSON: null": {
        **{f"{field}-null": (400, 200) for field in _NUMBERS},
        "exemplar-ids-null": (400, 200),
        "value-null-after": (400, 200),
        "temporality-null": (400, 200),
    },
    "JSON: forms of numbers": {f"{field}-whole-float": (400, 200) for field in _WHOLE},
    "JSON: a metric's points twice": {"gauge-twice": (200, 200)},
}


def answers_of(rows: Rows, name: str) -> tuple[int, int] | None:
    """What the two answer where they differ; None where they must not."""
    return next((names[name] for names in rows.values() if name in names), None)
