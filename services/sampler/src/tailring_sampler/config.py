"""The ``tail_sampling`` block as an operator writes it.

Keys, defaults and texts are upstream's. What this version does not do is refused with a
reason, unless it is written with the value that means "off". How policies are read is
told by `policy_blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
)

from tailring_runtime.config import (
    Bool,
    ConfigError,
    ConfigModel,
    Duration,
    Int,
    Problem,
    Text,
    rule,
)
from tailring_sampler.judge import NamedPolicy
from tailring_sampler.policies.sub_policies import Block
from tailring_sampler.policy_blocks import PolicyBlock, read_policy
from tailring_sampler.tracebuffer import ROOT_WAIT_OFF, WAITS_MAX

__all__ = ["DecisionCacheConfig", "MemoryConfig", "TailSamplingConfig"]

SECOND_NS = 1_000_000_000
SHARDS_MAX = 256
MEMORY_LEAST = 16 << 20
# Traces are held in memory; and deadlines are 64-bit numbers of nanoseconds.
DECISION_WAIT_LIMIT = 24 * 3600 * SECOND_NS

T = TypeVar("T")


def _off(meaning_off: Callable[[T], bool], reason: str) -> AfterValidator:
    """Accepts the values that switch something off, refuses the others."""

    def check(value: T) -> T:
        if not meaning_off(value):
            raise ValueError(reason)
        return value

    return AfterValidator(check)


def _known_strategy(strategy: str) -> str:
    if strategy == "span-ingest":
        raise ValueError(
            "span-ingest is not in this version; traces are judged whole"
            " (trace-complete)"
        )
    if strategy != "trace-complete":
        raise ValueError(
            f'invalid sampling_strategy "{strategy}", expected one of'
            ' "trace-complete" or "span-ingest"'
        )
    return strategy


def _at_most_a_day(wait_ns: int) -> int:
    if wait_ns > DECISION_WAIT_LIMIT:
        raise ValueError(
            "longer than 24h: all spans of that time would be held in memory, and be"
            " gone with the process"
        )
    return wait_ns


def _few_shards(shards: int) -> int:
    if shards > SHARDS_MAX:
        raise ValueError(f"num_shards ({shards}) must not exceed {SHARDS_MAX}")
    return shards


NOT_YET = "Not in this version: any other value is an error."


class DecisionCacheConfig(ConfigModel):
    """``decision_cache``: trace ids remembered beyond the live map; 0 switches off."""

    sampled_cache_size: Int = Field(
        default=0, description="Kept trace ids that are remembered."
    )
    non_sampled_cache_size: Int = Field(
        default=0,
        description="Other trace ids that are remembered; 10 x num_traces is advised.",
    )


class MemoryConfig(ConfigModel):
    """``memory``, ours: a bound on what is held in bytes, whatever the traces are."""

    max_bytes: Int = Field(
        default=0,
        ge=0,
        description="What pending traces, decisions and kept traces on their way may"
        " take together. 0: half of what the process may use (its cgroup's limit, else"
        " the machine), divided among all tail_sampling processors of the file.",
    )
    eviction: Literal["drop", "decide"] = Field(
        default="decide",
        description="What becomes of the heaviest and oldest traces when it is not"
        " enough: judged at once on what is there, or thrown away unjudged.",
    )

    @field_validator("max_bytes")
    @classmethod
    def _enough(cls, max_bytes: int) -> int:
        if 0 < max_bytes < MEMORY_LEAST:
            raise ValueError(
                f"less than {MEMORY_LEAST} (16 MiB): requests and their batches would"
                " not fit"
            )
        return max_bytes


_LIMITERS: Final = frozenset({"rate_limiting", "bytes_limiting"})


def _limits(block: Block) -> bool:
    if block.type == "and":
        return any(map(_limits, getattr(block, "and").and_sub_policy))
    return block.type in _LIMITERS


class TailSamplingConfig(ConfigModel):
    """The processor ``tail_sampling``."""

    policies: tuple[
        SerializeAsAny[Annotated[PolicyBlock, BeforeValidator(read_policy)]], ...
    ] = Field(default=(), description="Asked in this order; any may keep a trace.")
    decision_wait: Annotated[Duration, AfterValidator(_at_most_a_day)] = Field(
        default=30 * SECOND_NS,
        description="How long spans of a trace are awaited, at most 24h; less than 1s"
        " means 1s.",
    )
    decision_wait_from: Literal["first", "last"] = Field(
        default="first",
        description="Whether the wait begins at the first span of a trace (as upstream)"
        " or anew at each span, so that a trace is judged when it has fallen silent.",
    )
    decision_wait_max: Annotated[Duration, AfterValidator(_at_most_a_day)] = Field(
        default=0,
        description="With decision_wait_from: last, the longest time from first span to"
        " decision, at most 24h, for traces that never fall silent. 0: 10 x"
        " decision_wait, at most 24h.",
    )
    num_traces: Int = Field(
        default=50_000,
        ge=0,
        description="Trace ids in the live map, pending and decided; the oldest is"
        " pushed out undecided by a new one. 0 acts like 1.",
    )
    expected_new_traces_per_sec: Int = Field(
        default=0, ge=0, description="A hint of capacity; nothing depends on it."
    )
    memory: MemoryConfig = Field(default_factory=MemoryConfig)
    decision_cache: DecisionCacheConfig = Field(default_factory=DecisionCacheConfig)
    sample_on_first_match: Bool = Field(
        default=False, description="Ask no further policy once one keeps the trace."
    )
    drop_pending_traces_on_shutdown: Bool = Field(
        default=False,
        description="Throw pending traces away at shutdown instead of judging what is"
        " there.",
    )
    decision_wait_after_root_received: Duration = Field(
        default=0,
        description="How long spans are awaited once a span without a parent is there,"
        " in whole seconds, rounded down; it only brings a decision forward. 0: off;"
        " less than 1s: decided at the next tick.",
    )
    explain_max_bytes: Int = Field(
        default=32 * 1024 * 1024,
        ge=0,
        description="Memory for records of decisions, which /debug/tracez and `tailring"
        " explain` answer from. About 70 bytes a trace: the default reaches 90 seconds"
        " back at 5,000 traces/s. 0: off.",
    )
    block_on_overflow: Annotated[
        Bool,
        _off(
            lambda on: not on,
            "blocking on overflow is not in this version; the oldest trace is evicted"
            " (raise num_traces)",
        ),
    ] = Field(default=False, description=NOT_YET)
    maximum_trace_size_bytes: Annotated[
        Int,
        _off(lambda size: size == 0, "a limit by trace size is not in this version"),
    ] = Field(default=0, ge=0, description=NOT_YET)
    sampling_strategy: Annotated[Text, AfterValidator(_known_strategy)] = Field(
        default="trace-complete",
        description="Traces are judged whole; `span-ingest` is not in this version.",
    )
    num_shards: Annotated[Int, AfterValidator(_few_shards)] = Field(
        default=1,
        ge=0,
        description="1 to 256, without effect: a sampler decides as with 1 shard, and"
        " no limit is divided. Run more samplers to use more cores.",
    )
    tail_storage: Annotated[
        Text | None,
        _off(
            lambda component: component is None,
            "tail storage is not in this version; traces are held in memory",
        ),
    ] = Field(default=None, description=NOT_YET)

    @rule
    def _names_differ(self) -> Iterator[str]:
        seen: set[str] = set()
        for block in self.policies:
            if block.name in seen:
                yield f'duplicate policy name "{block.name}"'
            seen.add(block.name)

    @rule
    def _waits_agree(self) -> Iterator[tuple[str, str]]:
        if self.decision_wait_max and self.decision_wait_max < self.wait_ns:
            yield (
                "decision_wait_max",
                "shorter than decision_wait (which is at least 1s)",
            )

    @property
    def wait_ns(self) -> int:
        """The wait that applies: upstream waits for at least one whole second."""
        return max(self.decision_wait, SECOND_NS)

    @property
    def root_wait_ns(self) -> int:
        """The wait after the root that applies: whole seconds, as upstream."""
        # No trace waits longer than the limit anyway, and deadlines must not overflow.
        wait_ns = min(self.decision_wait_after_root_received, DECISION_WAIT_LIMIT)
        return wait_ns // SECOND_NS * SECOND_NS if wait_ns > 0 else ROOT_WAIT_OFF

    @property
    def wait_max_ns(self) -> int:
        """The longest time from first span to decision when spans renew the wait."""
        if self.decision_wait_max:
            return self.decision_wait_max
        return min(WAITS_MAX * self.wait_ns, DECISION_WAIT_LIMIT)

    def refuse_limiters(self, gate: str) -> None:
        """Raise ConfigError for limiters that would have to tell thresholds.

        Inside `not`, `drop` and `composite` they have none, as upstream.
        """
        found = [block.name for block in self.policies if _limits(block)]
        if found:
            raise ConfigError(
                tuple(
                    Problem(
                        f'policy "{name}": a limiter tells no threshold in this'
                        f" version; switch off the feature gate {gate}"
                    )
                    for name in found
                )
            )

    def named_policies(self, label_prefix: str = "") -> list[NamedPolicy]:
        """The policies, ready to judge."""
        return [block.named_policy(label_prefix) for block in self.policies]

    def advice(self) -> Iterable[str]:
        """Sentences worth a warning at start although the block is valid."""
        if not self.policies:
            yield "policies is empty: every trace will be dropped"
        if self.num_traces == 0:
            yield "num_traces: 0 acts like 1: each new trace pushes out the one before"
        if self.num_shards > 1:
            yield (
                f"num_shards: {self.num_shards} has no effect: one shard has all the"
                " limits; run more samplers to use more cores"
            )
        if self.decision_wait_max and self.decision_wait_from == "first":
            yield "decision_wait_max has no effect without decision_wait_from: last"
