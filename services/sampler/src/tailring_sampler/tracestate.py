"""OpenTelemetry's member of W3C tracestates: randomness and thresholds.

A sampler keeps a trace when its threshold T is at most the trace's randomness R, both
numbers of 56 bits: R is ``rv`` of the tracestate's member ``ot``, else the last seven
bytes of the trace id. A kept span says by ``th`` with which T it was kept, so that it
stands for ``2**56 / (2**56 - T)`` spans.

Rules, those of upstream's ``pkg/sampling``: at most 1024 bytes and 31 members; keys and
values by W3C's syntax; blanks around a member do not count, empty members are passed
over, a key may come twice and then the last ``ot`` counts; in ``ot`` at most 256 bytes,
items ``key:value``; ``rv`` of 14 hex digits, ``th`` of 1 to 14, a shorter one is filled
up with zeros. A tracestate that breaks one is unparseable as a whole.

Pure; it does not know who decides by what.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, NamedTuple

__all__ = [
    "NEVER",
    "TraceStateText",
    "parse",
    "randomness_of",
    "threshold_of",
    "threshold_text",
    "with_threshold",
]

# The threshold that no randomness reaches.
NEVER: Final = 1 << 56
_DIGITS: Final = 14
_BYTES_MAX: Final = 1024
_MEMBERS_MAX: Final = 31
_OT_BYTES_MAX: Final = 256
_BLANKS: Final = b" \t"

_MEMBER: Final = re.compile(
    rb"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_ITEM: Final = re.compile(rb"([a-z][a-z0-9]*):([A-Za-z0-9._-]*)")
_RV: Final = re.compile(rb"[0-9a-fA-F]{14}")
_TH: Final = re.compile(rb"[0-9a-fA-F]{1,14}")


class TraceStateText(NamedTuple):
    """A tracestate that was read: what ``ot`` says, and the other members as text."""

    rv: bytes = b""
    th: bytes = b""
    items: tuple[bytes, ...] = ()
    members: tuple[bytes, ...] = ()

    @property
    def randomness(self) -> int | None:
        """R by ``rv``; None without it."""
        return int(self.rv, 16) if self.rv else None

    @property
    def threshold(self) -> int | None:
        """T by ``th``; None without it."""
        return int(self.th.ljust(_DIGITS, b"0"), 16) if self.th else None

    def text(self) -> bytes:
        """The tracestate again, ``ot`` first and in it ``rv`` and ``th``."""
        items = list(self.items)
        if self.th:
            items.insert(0, b"th:" + self.th)
        if self.rv:
            items.insert(0, b"rv:" + self.rv)
        ot = [b"ot=" + b";".join(items)] if items else []
        return b",".join([*ot, *self.members])


def parse(state: bytes) -> TraceStateText | None:
    """What a tracestate says; None when it is unparseable."""
    texts = state.split(b",")
    if len(state) > _BYTES_MAX or len(texts) > _MEMBERS_MAX:
        return None
    found = TraceStateText()
    members: list[bytes] = []
    for text in texts:
        member = text.strip(_BLANKS)
        matched = _MEMBER.fullmatch(member)
        if matched is None:
            if member:
                return None
        elif matched[1] == b"ot":
            ot = _parse_ot(matched[2])
            if ot is None:
                return None
            found = ot
        else:
            members.append(member)
    return found._replace(members=tuple(members))


def _parse_ot(value: bytes) -> TraceStateText | None:
    if len(value) > _OT_BYTES_MAX:
        return None
    rv = th = b""
    items: list[bytes] = []
    for item in value.split(b";"):
        matched = _ITEM.fullmatch(item)
        if matched is None:
            return None
        if matched[1] == b"rv":
            rv = matched[2]
            if _RV.fullmatch(rv) is None:
                return None
        elif matched[1] == b"th":
            th = matched[2]
            if _TH.fullmatch(th) is None:
                return None
        else:
            items.append(item)
    return TraceStateText(rv, th, tuple(items))


def randomness_of(trace_id: bytes) -> int:
    """R of a trace whose tracestates have no ``rv``."""
    return int.from_bytes(trace_id[9:], "big")


def threshold_of(percentage: float) -> int:
    """T of a share in percent; `NEVER` when it is too small to be told."""
    share = percentage / 100
    if share >= 1:
        return 0
    # Also NaN, of which nothing is kept.
    if not share >= 2.0**-56:
        return NEVER
    # Halves are rounded up, as Go's math.Round does.
    scaled = Fraction(share) * NEVER
    return NEVER - (2 * scaled.numerator + scaled.denominator) // (
        2 * scaled.denominator
    )


def threshold_text(threshold: int) -> bytes:
    """``th`` of a threshold below `NEVER`."""
    assert 0 <= threshold < NEVER
    return f"{threshold:014x}".rstrip("0").encode() or b"0"


def with_threshold(state: bytes, threshold: int) -> bytes | None:
    """The tracestate of a span that was kept with T = ``threshold``.

    It stays, as the same object, when its own threshold is stricter; None when it is
    unparseable.
    """
    found = parse(state)
    if found is None:
        return None
    own = found.threshold
    if own is not None and own > threshold:
        return state
    return found._replace(th=threshold_text(threshold)).text()
