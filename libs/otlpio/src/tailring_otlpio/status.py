"""What happened to a request, as gRPC and HTTP say it, and what their answers mean.

One place for both directions, so that the two tiers agree:

* `RETRY` says for every gRPC code whether the same bytes may be sent again.
* `HTTP_STATUS` says which HTTP status stands for a gRPC code.
* `Answer` is the outcome of one request at a receiver; the functions that make one
  are the table "what went wrong -> which code, is it retryable".
* `failure` is the way back: an answer of a backend to `Refused` or `Rejected`.

The codes follow the OTLP specification. Its one trap: RESOURCE_EXHAUSTED without a
RetryInfo is final, so overload is never answered with it, only with UNAVAILABLE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from grpc import StatusCode

from tailring_pipeline import Refused, Rejected

__all__ = [
    "HTTP_STATUS",
    "RETRY",
    "RETRY_AFTER_DEFAULT_S",
    "Answer",
    "Outcome",
    "Retry",
    "accepted",
    "failure",
    "http_failure",
    "internal_failure",
    "malformed",
    "refused",
    "rejected",
    "too_large",
    "too_slow",
    "unauthenticated",
    "unsupported_encoding",
]

# A refusal that names no delay asks for this one: SDKs that read RetryInfo wait
# exactly as long as it says, and 0 would make them hammer.
RETRY_AFTER_DEFAULT_S: Final = 1.0


class Retry(Enum):
    """Whether a request that was answered with a code may be sent again."""

    ALWAYS = "always"
    WITH_RETRY_INFO = "with RetryInfo"
    NEVER = "never"


RETRY: Final[Mapping[StatusCode, Retry]] = {
    StatusCode.CANCELLED: Retry.ALWAYS,
    StatusCode.UNKNOWN: Retry.NEVER,
    StatusCode.INVALID_ARGUMENT: Retry.NEVER,
    StatusCode.DEADLINE_EXCEEDED: Retry.ALWAYS,
    StatusCode.NOT_FOUND: Retry.NEVER,
    StatusCode.ALREADY_EXISTS: Retry.NEVER,
    StatusCode.PERMISSION_DENIED: Retry.NEVER,
    StatusCode.RESOURCE_EXHAUSTED: Retry.WITH_RETRY_INFO,
    StatusCode.FAILED_PRECONDITION: Retry.NEVER,
    StatusCode.ABORTED: Retry.ALWAYS,
    StatusCode.OUT_OF_RANGE: Retry.ALWAYS,
    StatusCode.UNIMPLEMENTED: Retry.NEVER,
    StatusCode.INTERNAL: Retry.NEVER,
    StatusCode.UNAVAILABLE: Retry.ALWAYS,
    StatusCode.DATA_LOSS: Retry.ALWAYS,
    StatusCode.UNAUTHENTICATED: Retry.NEVER,
}

# As otelcol's receiver maps them; whatever is not named is 500.
HTTP_STATUS: Final[Mapping[StatusCode, int]] = {
    StatusCode.OK: 200,
    StatusCode.CANCELLED: 503,
    StatusCode.DEADLINE_EXCEEDED: 503,
    StatusCode.ABORTED: 503,
    StatusCode.OUT_OF_RANGE: 503,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 503,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.UNIMPLEMENTED: 404,
    StatusCode.UNKNOWN: 500,
    StatusCode.NOT_FOUND: 500,
    StatusCode.ALREADY_EXISTS: 500,
    StatusCode.FAILED_PRECONDITION: 500,
    StatusCode.INTERNAL: 500,
}


class Outcome(Enum):
    """How a request ended; the value is the metric label ``outcome``.

    REFUSED: something downstream did not take it. FAILURE: it was no good itself, or
    an error of ours.
    """

    SUCCESS = "success"
    REFUSED = "refused"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver tells the client.

    ``code`` OK with ``rejected_items`` > 0 is a partial success, which clients must
    not retry. ``retry_after_s`` > 0 asks the client to wait that long.
    """

    outcome: Outcome
    code: StatusCode = StatusCode.OK
    message: str = ""
    http_status: int = 200
    retry_after_s: float = 0.0
    rejected_items: int = 0


_ACCEPTED = Answer(Outcome.SUCCESS)


def accepted() -> Answer:
    """Everything was taken."""
    return _ACCEPTED


def refused(error: Refused) -> Answer:
    """Nothing was taken; the same bytes may succeed later."""
    return Answer(
        Outcome.REFUSED,
        StatusCode.UNAVAILABLE,
        error.detail,
        HTTP_STATUS[StatusCode.UNAVAILABLE],
        error.retry_after_s or RETRY_AFTER_DEFAULT_S,
    )


def rejected(error: Rejected, *, items: int) -> Answer:
    """``error`` for a request of ``items`` items: all of them, or a partial success."""
    if error.items is not None and error.items < items:
        return Answer(Outcome.SUCCESS, message=error.detail, rejected_items=error.items)
    return _final(Outcome.REFUSED, error.detail)


def malformed(detail: str) -> Answer:
    """The request is not what it claims to be; it never will be."""
    return _final(Outcome.FAILURE, detail)


def unauthenticated(detail: str) -> Answer:
    """The request does not prove who sent it."""
    code = StatusCode.UNAUTHENTICATED
    return Answer(Outcome.REFUSED, code, detail, HTTP_STATUS[code])


def _final(outcome: Outcome, detail: str) -> Answer:
    code = StatusCode.INVALID_ARGUMENT
    return Answer(outcome, code, detail, HTTP_STATUS[code])


def too_large(detail: str) -> Answer:
    """The request is larger than this receiver takes; final, so without a delay."""
    code = StatusCode.RESOURCE_EXHAUSTED
    return Answer(Outcome.FAILURE, code, detail, http_status=413)


def too_slow() -> Answer:
    """The request did not arrive in time; it may the next time."""
    code = StatusCode.DEADLINE_EXCEEDED
    return Answer(Outcome.FAILURE, code, "the message did not arrive in time", 408)


def unsupported_encoding(encoding: str) -> Answer:
    """The body is compressed in a way that this receiver cannot read."""
    detail = f"unsupported Content-Encoding: {encoding}"
    code = StatusCode.INVALID_ARGUMENT
    return Answer(Outcome.FAILURE, code, detail, http_status=415)


def internal_failure() -> Answer:
    """An error of ours that nobody foresaw; it says nothing about the bytes."""
    return Answer(
        Outcome.FAILURE,
        StatusCode.UNAVAILABLE,
        "internal error, see the log",
        HTTP_STATUS[StatusCode.UNAVAILABLE],
        RETRY_AFTER_DEFAULT_S,
    )


def failure(
    code: StatusCode, detail: str, *, retry_info_s: float | None
) -> Refused | Rejected:
    """What an error answer of a backend means.

    ``retry_info_s`` is the delay of its RetryInfo, None when it has none. The reason
    is the code's name in lower case, or "deadline" or "throttled".
    """
    retry = RETRY[code]
    throttled = retry is Retry.WITH_RETRY_INFO and retry_info_s is not None
    if retry is Retry.ALWAYS or throttled:
        reason = "throttled" if throttled else _REASONS.get(code, code.name.lower())
        return Refused(reason, detail, retry_after_s=retry_info_s or 0.0)
    return Rejected(code.name.lower(), detail)


# The HTTP answers after which the same bytes may be sent again, by the specification;
# every other one is final.
_RETRYABLE_HTTP: Final[Mapping[int, str]] = {
    429: "throttled",
    502: "unavailable",
    503: "unavailable",
    504: "deadline",
}
# What other HTTP answers mean; one that is not named is "unknown".
_FINAL_HTTP: Final[Mapping[int, StatusCode]] = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    405: StatusCode.UNIMPLEMENTED,
    407: StatusCode.UNAUTHENTICATED,
    413: StatusCode.RESOURCE_EXHAUSTED,
    415: StatusCode.UNIMPLEMENTED,
    500: StatusCode.INTERNAL,
}


def http_failure(code: int, detail: str, *, retry_after_s: float) -> Refused | Rejected:
    """What an HTTP answer beyond 2xx means; the reasons are those of `failure`."""
    reason = _RETRYABLE_HTTP.get(code)
    if reason is not None:
        return Refused(reason, detail, retry_after_s=retry_after_s)
    if 300 <= code < 400:
        return Rejected("redirected", detail)
    return Rejected(_FINAL_HTTP.get(code, StatusCode.UNKNOWN).name.lower(), detail)


_REASONS: Final[Mapping[StatusCode, str]] = {StatusCode.DEADLINE_EXCEEDED: "deadline"}
