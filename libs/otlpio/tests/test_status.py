"""The status table: every code in both directions."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from tailring_otlpio.status import HTTP_STATUS, RETRY, Retry, failure
from tailring_pipeline import SPLIT_REASONS, Refused, Rejected

ERRORS = [code for code in StatusCode if code is not StatusCode.OK]

# The specification's table: retryable, only with RetryInfo; the others are final.
RETRYABLE = {
    StatusCode.CANCELLED,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.ABORTED,
    StatusCode.OUT_OF_RANGE,
    StatusCode.UNAVAILABLE,
    StatusCode.DATA_LOSS,
}


def test_every_error_code_is_in_both_tables() -> None:
    """No gRPC code is without a rule for retries and an HTTP status."""
    assert set(RETRY) == set(ERRORS)
    assert set(HTTP_STATUS) == set(StatusCode)


@pytest.mark.parametrize("code", ERRORS, ids=lambda code: code.name)
@pytest.mark.parametrize("retry_info_s", [None, 0.0, 2.0])
def test_what_a_code_means(code: StatusCode, retry_info_s: float | None) -> None:
    """Exactly the codes that the specification names are retryable."""
    outcome = failure(code, "why", retry_info_s=retry_info_s)
    throttled = code is StatusCode.RESOURCE_EXHAUSTED and retry_info_s is not None
    retryable = code in RETRYABLE or throttled
    assert isinstance(outcome, Refused if retryable else Rejected)
    assert outcome.detail == "why"


def test_the_delay_of_a_retry_info_is_kept() -> None:
    """A RetryInfo's delay becomes the wait that the refusal asks for."""
    outcome = failure(StatusCode.UNAVAILABLE, "", retry_info_s=2.5)
    assert isinstance(outcome, Refused)
    assert outcome.retry_after_s == 2.5


@pytest.mark.parametrize(
    ("code", "retry_info_s", "reason"),
    [
        (StatusCode.UNAVAILABLE, None, "unavailable"),
        (StatusCode.UNAVAILABLE, 1.0, "unavailable"),
        (StatusCode.DEADLINE_EXCEEDED, None, "deadline"),
        (StatusCode.RESOURCE_EXHAUSTED, 1.0, "throttled"),
        (StatusCode.RESOURCE_EXHAUSTED, None, "resource_exhausted"),
        (StatusCode.INVALID_ARGUMENT, None, "invalid_argument"),
        (StatusCode.PERMISSION_DENIED, None, "permission_denied"),
    ],
)
def test_reasons_are_short_words(
    code: StatusCode, retry_info_s: float | None, reason: str
) -> None:
    """The reason is the code's name in lower case, or the usual word for it."""
    assert failure(code, "", retry_info_s=retry_info_s).reason == reason


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable_http_statuses_stand_for_retryable_codes_only(status: int) -> None:
    """A code that is final is never answered with an HTTP status that is retryable."""
    codes = {code for code, mapped in HTTP_STATUS.items() if mapped == status}
    assert all(RETRY[code] is not Retry.NEVER for code in codes)


def test_only_final_reasons_are_worth_a_split() -> None:
    """Splitting is suggested for final codes that can be one span's fault."""
    final = {
        outcome.reason
        for outcome in (failure(code, "", retry_info_s=None) for code in ERRORS)
        if isinstance(outcome, Rejected)
    }
    ours = {"malformed", "too_large"}
    assert final | ours >= SPLIT_REASONS
    assert {"permission_denied", "unauthenticated", "unimplemented"} & final
    assert not {"permission_denied", "unauthenticated", "unimplemented"} & SPLIT_REASONS
