"""Policy `string_attribute`: a trace is kept by a text in an attribute.

Exact: the text is one of the values, of which empty ones do not count. With patterns: a
pattern occurs anywhere in the text. A value that is no text reads as the empty one,
which on a span never fits, but on a resource may match a pattern, as upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from pydantic import Field

from tailring_runtime.config import Bool, ConfigModel, Int, Text, TextList, rule
from tailring_sampler.policies.attribute_search import AttributeSearch
from tailring_sampler.policies.patterns import Pattern, to_utf8
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["STRING_ATTRIBUTE", "StringAttribute", "StringAttributeConfig"]

CACHE_DEFAULT: Final = 128
# The answers of longer texts are not kept: a hostile one would be held for long.
CACHED_BYTES_MAX: Final = 1024


class StringAttributeConfig(ConfigModel):
    """Keeps a trace with one of these texts in an attribute."""

    key: Text = Field(default="", description="Name of the attribute.")
    values: TextList = Field(
        default=(), description="Texts, or patterns; empty texts do not count."
    )
    enabled_regex_matching: Bool = Field(
        default=False,
        description="The values are RE2 patterns, searched for anywhere in the text.",
    )
    cache_max_size: Int = Field(
        default=0,
        description="Answers of patterns that are remembered, by text; 0: 128.",
    )
    invert_match: Bool = Field(
        default=False,
        description="Keep the trace unless it has the attribute with such a value.",
    )

    @rule
    def _patterns(self) -> Iterator[str]:
        if self.enabled_regex_matching:
            for text in self.values:
                try:
                    Pattern(text)
                except ValueError as error:
                    yield str(error)


class StringAttribute:
    """Votes by texts, or patterns, in one attribute."""

    needs: Final = Needs.SPANS

    def __init__(self, config: StringAttributeConfig) -> None:
        fits = _patterns(config) if config.enabled_regex_matching else _exact(config)
        self._search = AttributeSearch(
            config.key,
            lambda one: (text := one.text()) != b"" and fits(text),
            fits_resource=lambda one: fits(one.text()),
        )
        self._inverted = config.invert_match

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when such a text is there, or when it is not if inverted."""
        kept = self._search.found(trace.pieces) is not self._inverted
        return SAMPLED if kept else NOT_SAMPLED


def _exact(config: StringAttributeConfig) -> Callable[[bytes], bool]:
    texts = frozenset(text.encode() for text in config.values if text)
    return texts.__contains__


def _patterns(config: StringAttributeConfig) -> Callable[[bytes], bool]:
    patterns = [Pattern(text) for text in config.values]

    def asked(text: bytes) -> bool:
        """Whether any pattern occurs."""
        whole = to_utf8(text)
        return any(pattern.found_in(whole) for pattern in patterns)

    size = config.cache_max_size if config.cache_max_size > 0 else CACHE_DEFAULT
    remembered = lru_cache(maxsize=size)(asked)

    def fits(text: bytes) -> bool:
        """The same, by what is remembered of short texts."""
        return remembered(text) if len(text) <= CACHED_BYTES_MAX else asked(text)

    return fits


STRING_ATTRIBUTE = PolicyType(
    "string_attribute", StringAttributeConfig, StringAttribute
)
