"""What upstream says of metrics that it cannot route: a resource without service.name.

The text shows the attributes as Go prints a map. It is for a log: it ends after
TEXT_BYTES_MAX, and what is no UTF-8 is replaced.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.fields import Fields
from tailring_otlpwire.fragments import Fragments
from tailring_otlpwire.keys import RESOURCE_ATTRIBUTE, RESOURCE_NESTING, heads
from tailring_otlpwire.values import (
    ARRAY,
    BYTES,
    DOUBLE,
    EMPTY,
    ENTRY,
    MAP,
    Value,
    check_entries,
    decimal_point,
    float_of,
    mantissa,
    plain,
    read_key_value,
    read_map,
    text_of,
)

TEXT_BYTES_MAX: Final = 2048

_BEGINNING: Final = "unable to get service name from resource metric with attributes: "
_EXPONENT_MIN: Final = -4
_EXPONENT_MAX: Final = 6


def unroutable_text(buf: bytes, pos: i64, end: i64) -> str:
    """Return upstream's error for the ResourceMetrics in buf[pos:end].

    Raises WireError for attributes that are malformed.
    """
    entries: list[tuple[bytes, Value]] = []
    for start, stop in heads(buf, pos, end, 1):
        fields = Fields(buf, start, stop, RESOURCE_NESTING)
        while fields.next():
            if fields.tag == RESOURCE_ATTRIBUTE:
                value = Value(RESOURCE_NESTING + 2)
                key = read_key_value(buf, fields.body, fields.pos, value)
                entries.append((key, value))
                check_entries(len(entries), fields.at)
    out = Fragments()
    _print_map(buf, entries, out)
    return _BEGINNING + out.value()[:TEXT_BYTES_MAX].decode("utf-8", "replace")


def _print_map(buf: bytes, entries: list[tuple[bytes, Value]], out: Fragments) -> None:
    last = dict(entries)
    out.add(b"map[")
    between = b""
    for key in sorted(last):
        if out.size > TEXT_BYTES_MAX:
            return
        out.add(between + key[:TEXT_BYTES_MAX] + b":")
        between = b" "
        _print(buf, last[key], out)
    out.add(b"]")


def _print(buf: bytes, value: Value, out: Fragments) -> None:
    if value.type == MAP:
        _print_map(buf, read_map(buf, value), out)
    elif value.type == ARRAY:
        _print_array(buf, value, out)
    elif value.type == BYTES:
        numbers = buf[value.pos : value.end][:TEXT_BYTES_MAX]
        out.add(b"[" + " ".join(map(str, numbers)).encode() + b"]")
    elif value.type == DOUBLE:
        out.add(_float(float_of(buf, value)).encode())
    else:
        text = text_of(buf, value)
        out.add(b"<nil>" if value.type == EMPTY else text[:TEXT_BYTES_MAX])


def _print_array(buf: bytes, value: Value, out: Fragments) -> None:
    out.add(b"[")
    between = b""
    fields = Fields(buf, value.pos, value.end, value.nesting + 1)
    while out.size <= TEXT_BYTES_MAX and fields.next():
        if fields.tag == ENTRY:
            entry = Value(value.nesting + 2)
            entry.read(buf, fields.body, fields.pos)
            out.add(between)
            between = b" "
            _print(buf, entry, out)
    out.add(b"]")


def _float(number: float) -> str:
    """As Go's %v: with an exponent below 1e-4 and from 1e6 on."""
    if number - number != 0:
        return {"inf": "+Inf", "-inf": "-Inf"}.get(repr(number), "NaN")
    sign = "-" if repr(number)[0] == "-" else ""
    size = abs(number)
    exponent = decimal_point(size) - 1
    if _EXPONENT_MIN <= exponent < _EXPONENT_MAX:
        return sign + plain(size)
    return f"{sign}{mantissa(size)}e{exponent:+03d}"
