"""The configuration models: defaults, and the words with which they refuse."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from tailring_pipeline import (
    BatchConfig,
    DebugConfig,
    MemoryLimiterConfig,
    NopConfig,
    QueueConfig,
    RetryConfig,
    TopLevelQueueConfig,
    TopLevelRetryConfig,
)
from tailring_runtime.config import NULL_IS_EMPTY, ConfigModel

S = 1_000_000_000


def _problem(model: type[ConfigModel], written: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(written)
    return "; ".join(error["msg"] for error in caught.value.errors())


class _Exporter(ConfigModel):
    """Both places where a queue can stand."""

    sending_queue: Annotated[TopLevelQueueConfig | None, NULL_IS_EMPTY] = None
    own: QueueConfig = QueueConfig()


def test_the_queue_defaults_are_upstreams() -> None:
    """A queue holds 1000 requests, has 10 consumers, and refuses when it is full."""
    queue = QueueConfig()
    assert queue.enabled
    assert (queue.queue_size, queue.sizer) == (1000, "requests")
    assert queue.num_consumers == 10
    assert not queue.block_on_overflow
    assert not queue.wait_for_result


@pytest.mark.parametrize(
    ("written", "early"),
    [
        ({}, False),
        ({"queue_size": 5}, False),
        ({"enabled": True}, True),
        ({"enabled": True, "wait_for_result": True}, False),
        ({"enabled": False}, False),
        ({"storage": "file_storage"}, True),
        ({"storage": "file_storage/x", "enabled": False}, False),
    ],
)
def test_only_a_queue_that_is_spelled_out_acknowledges_early(
    written: dict[str, Any], early: bool
) -> None:
    """It takes a written enabled: true and no wait_for_result, or a disk."""
    assert QueueConfig.model_validate(written).acknowledges_early is early


@pytest.mark.parametrize(
    ("written", "enabled"),
    [
        ({}, None),
        ({"sending_queue": None}, True),
        ({"sending_queue": {}}, True),
        ({"sending_queue": {"enabled": True}}, True),
        ({"sending_queue": {"enabled": False}}, False),
    ],
)
def test_a_top_level_queue_is_on_when_its_key_is_there(
    written: dict[str, Any], enabled: bool | None
) -> None:
    """Absent it is off; null, {} and enabled: true switch it on."""
    queue = _Exporter.model_validate(written).sending_queue
    assert (None if queue is None else queue.enabled) is enabled


def test_an_exporters_queue_written_as_null_is_the_default() -> None:
    """A key without a value leaves the exporter's queue on and waiting."""
    queue = _Exporter.model_validate({"own": None}).own
    assert queue.enabled
    assert not queue.acknowledges_early


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"num_consumers": 0}, "`num_consumers` must be positive"),
        ({"queue_size": 0}, "`queue_size` must be positive"),
        ({"queue_size": -1}, "`queue_size` must be positive"),
        (
            {"batch": {"flush_timeout": "0s"}},
            "`flush_timeout` must be positive, found 0",
        ),
        ({"batch": {"min_size": -1}}, "`min_size` must be non-negative, found -1"),
        ({"batch": {"max_size": -1}}, "`max_size` must be non-negative, found -1"),
        (
            {"batch": {"max_size": 5}},
            "`max_size` (5) must be greater or equal to `min_size` (8192)",
        ),
        (
            {"batch": {"sizer": "requests"}},
            '`batch` supports only `items` or `bytes` sizer, found "requests"',
        ),
        (
            {"sizer": "requests", "batch": {"min_size": 1}},
            '`batch` supports only `items` or `bytes` sizer, found "requests"',
        ),
        (
            {"sizer": "items", "queue_size": 10, "batch": {"min_size": 20}},
            "`min_size` must be less than or equal to `queue_size`",
        ),
        (
            {"batch": {"partition": {"metadata_keys": ["tenant"]}}},
            "metadata_keys must be empty",
        ),
        (
            {"storage": "file_storage", "wait_for_result": True},
            "`wait_for_result` is not supported with a persistent queue configured with"
            " `storage`",
        ),
        ({"storage": 5}, "expected the name of an extension"),
        ({"sizer": "spans"}, "'requests', 'items' or 'bytes'"),
        ({"queue_size": "10"}, "expected a whole number"),
    ],
)
def test_a_queue_is_refused_with_a_reason(written: dict[str, Any], words: str) -> None:
    """Each wrong key of a queue is named with upstream's words or our reason."""
    assert words in _problem(QueueConfig, written)


def test_a_queue_that_is_off_is_not_checked() -> None:
    """With enabled: false the sizes are not looked at, as upstream."""
    assert not QueueConfig.model_validate({"enabled": False, "queue_size": 0}).enabled


def test_the_retry_defaults_are_upstreams() -> None:
    """Retry waits 5 s, spread by half, times 1.5, up to 30 s, for 300 s."""
    retry = RetryConfig()
    assert retry.enabled
    assert (retry.initial_interval, retry.max_interval) == (5 * S, 30 * S)
    assert (retry.randomization_factor, retry.multiplier) == (0.5, 1.5)
    assert retry.max_elapsed_time == 300 * S


def test_a_top_level_retry_is_off_until_switched_on() -> None:
    """At the top level only enabled: true retries, then with the usual intervals."""
    assert not TopLevelRetryConfig().enabled
    assert not TopLevelRetryConfig.model_validate({"initial_interval": "1s"}).enabled
    on = TopLevelRetryConfig.model_validate({"enabled": True})
    assert (on.initial_interval, on.max_elapsed_time) == (5 * S, 300 * S)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            {"initial_interval": "-1s"},
            "initial_interval value must be greater than or equal to 0",
        ),
        ({"multiplier": -1}, "multiplier value must be greater than or equal to 0"),
        (
            {"randomization_factor": 1.5},
            "randomization_factor value must be less than or equal to 1",
        ),
        (
            {"max_elapsed_time": "2s"},
            "'max_elapsed_time' must not be less than 'initial_interval'",
        ),
        (
            {"max_elapsed_time": "10s"},
            "'max_elapsed_time' must not be less than 'max_interval'",
        ),
    ],
)
def test_a_retry_is_refused_with_upstreams_words(
    written: dict[str, Any], words: str
) -> None:
    """Intervals that contradict each other are refused, on or off, as upstream."""
    assert words in _problem(RetryConfig, written)
    assert words in _problem(RetryConfig, {**written, "enabled": False})


def test_a_top_level_retry_compares_only_what_is_written() -> None:
    """A short max_elapsed_time is taken there, because upstream's others are zero."""
    short = {"enabled": True, "max_elapsed_time": "2s"}
    assert TopLevelRetryConfig.model_validate(short).max_elapsed_time == 2 * S
    words = _problem(TopLevelRetryConfig, {**short, "initial_interval": "3s"})
    assert "'initial_interval'" in words


def test_the_batch_defaults_are_upstreams() -> None:
    """A batch waits 200 ms for 8192 items and has no largest size."""
    batch = BatchConfig()
    assert (batch.timeout, batch.send_batch_size) == (S // 5, 8192)
    assert batch.send_batch_max_size == 0


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            {"send_batch_max_size": 100},
            "send_batch_max_size must be greater or equal to send_batch_size",
        ),
        ({"timeout": "-1s"}, "timeout must be greater or equal to 0"),
        ({"metadata_keys": ["tenant"]}, "metadata_keys must be empty"),
        ({"metadata_cardinality_limit": -5}, "greater than or equal to 0"),
        ({"send_batch_size": -1}, "greater than or equal to 0"),
    ],
)
def test_a_batch_is_refused_with_a_reason(written: dict[str, Any], words: str) -> None:
    """Each wrong key of a batch is named with upstream's words or our reason."""
    assert words in _problem(BatchConfig, written)


def test_verbosity_may_be_in_capitals() -> None:
    """Upstream reads the word in any case."""
    assert DebugConfig.model_validate({"verbosity": "Detailed"}).verbosity == "detailed"


@pytest.mark.parametrize(
    ("written", "batches"),
    [
        ({}, None),
        ({"batch": None}, ("items", 8192, S // 5)),
        ({"batch": {"enabled": False, "min_size": -1}}, None),
        ({"batch": {}, "enabled": False}, None),
        ({"batch": None, "sizer": "bytes"}, ("items", 8192, S // 5)),
        (
            {"batch": {"min_size": 7}, "sizer": "bytes"},
            ("bytes", 7, S // 5),
        ),
        (
            {"batch": {"min_size": 7, "sizer": "items"}, "sizer": "bytes"},
            ("items", 7, S // 5),
        ),
    ],
)
def test_the_mere_key_switches_batching_on(
    written: dict[str, Any], batches: tuple[str, int, int] | None
) -> None:
    """Batching is on with upstream's defaults when the key is there, and counts what
    the queue's written sizer says, unless it has one of its own."""
    found = QueueConfig.model_validate(written).batches
    assert batches == (found and (found.sizer, found.min_size, found.flush_timeout))


def test_empty_metadata_keys_are_taken() -> None:
    """The default of metadata_keys may be written down."""
    assert BatchConfig.model_validate({"metadata_keys": []}).metadata_keys == ()


LIMITER = {"check_interval": "1s", "limit_mib": 400}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"check_interval": 0}, "'check_interval' must be greater than zero"),
        ({"limit_mib": 0}, "'limit_mib' or 'limit_percentage' must be greater than"),
        (
            {"spike_limit_mib": 400},
            "'spike_limit_mib' must be smaller than",
        ),
        ({"limit_percentage": 101}, "less than or equal to hundred"),
        ({"spike_limit_percentage": 101}, "less than or equal to hundred"),
        (
            {"limit_percentage": 50, "spike_limit_percentage": 50},
            "'spike_limit_percentage' must be smaller than 'limit_percentage'",
        ),
        (
            {"min_gc_interval_when_hard_limited": "11s"},
            "'min_gc_interval_when_soft_limited' should be larger than",
        ),
        (
            {"max_gc_interval_when_soft_limited": "1s"},
            "'max_gc_interval_when_soft_limited' must be greater than or equal to",
        ),
        (
            {"max_gc_interval_when_hard_limited": "-1s"},
            "'max_gc_interval_when_hard_limited' must be non-negative",
        ),
        (
            {"max_gc_interval_when_hard_limited": "31s"},
            "'max_gc_interval_when_soft_limited' should be larger than or equal to",
        ),
    ],
)
def test_a_memory_limiter_is_refused_with_upstreams_words(
    written: dict[str, Any], words: str
) -> None:
    """Limits and intervals that make no sense are refused as upstream refuses them."""
    assert words in _problem(MemoryLimiterConfig, {**LIMITER, **written})


def test_a_memory_limiter_may_follow_the_machine() -> None:
    """A percentage alone is enough of a limit."""
    written = {"check_interval": "1s", "limit_percentage": 75}
    assert MemoryLimiterConfig.model_validate(written).limit_mib == 0


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            {"output_paths": ["stdout"]},
            "output_paths is not supported when use_internal_logger is true",
        ),
        (
            {"use_internal_logger": False, "output_paths": []},
            "output_paths must not be empty when use_internal_logger is false",
        ),
        ({"verbosity": "none"}, "'basic', 'normal' or 'detailed'"),
        ({"sampling_initial": -1}, "greater than or equal to 0"),
    ],
)
def test_a_debug_exporter_is_refused_with_a_reason(
    written: dict[str, Any], words: str
) -> None:
    """Keys of debug that would be ignored or make no sense are refused."""
    assert words in _problem(DebugConfig, written)


def test_nop_has_no_keys() -> None:
    """A key of nop is unknown whatever it is."""
    assert "unknown key" in _problem(NopConfig, {"endpoint": "x"})
