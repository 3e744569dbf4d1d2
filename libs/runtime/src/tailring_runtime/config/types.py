"""The types that configuration models are written with.

They are as strict as upstream: text is not a number ("10" is not 10) and a number is
not text, with one exception that upstream makes too. A scalar that came out of
``${env:..}`` is an `Expanded`: a text field takes the text that stood in the
environment, every other field takes what YAML makes of that text.

Use these and not the plain ``int``, ``float`` and ``bool``, which know no `Expanded`:

    class BatchConfig(ConfigModel):
        timeout: Duration = Field(default=200_000_000, ge=0, description="...")
        send_batch_size: Int = Field(default=8192, ge=0, description="...")

Choices are ``Literal["a", "b"]``; lists are ``tuple[X, ...]``, because a configuration
never changes. A nested block whose mere presence means something (``grpc:``) is
``Annotated[GrpcConfig | None, NULL_IS_EMPTY] = None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from tailring_runtime.config.durations import format_duration, parse_duration

__all__ = [
    "NULL_IS_EMPTY",
    "Bool",
    "Duration",
    "Expanded",
    "Float",
    "Headers",
    "Int",
    "Port",
    "PortText",
    "Secret",
    "SecretList",
    "Text",
    "TextList",
    "kind_of",
]

# The validation context of what came from files: there a bare number is no duration.
FROM_FILE: Final[Mapping[str, bool]] = {"from_file": True}


class Expanded(str):
    """The text that ``${..}`` was replaced with; ``value`` is what YAML makes of it."""

    value: object

    def __new__(cls, text: str, value: object) -> Expanded:
        self = super().__new__(cls, text)
        self.value = value
        return self


class TypeName:
    """What the documentation calls a type."""

    def __init__(self, name: str) -> None:
        self.name = name


class _NullIsEmpty:
    """Marks a block that ``key:`` without a value switches on with its defaults."""


NULL_IS_EMPTY: Final = _NullIsEmpty()


def kind_of(value: object, *, secret: bool = False) -> str:
    """What a person would call this value of a YAML file; ``secret``: and does not
    repeat it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number" if secret else f"the number {value}"
        case str():
            return "a text" if secret else f"the text {str(value)!r}"
        case Mapping():
            return "a map"
        case _:
            return "a list"


def _wrong(expected: str, value: object, *, cure: str = "") -> PydanticCustomError:
    message = f"expected {expected}, got {kind_of(value)}"
    return PydanticCustomError("wrong_type", _literal(message + cure))


def _literal(message: str) -> Any:
    # pydantic wants a LiteralString; without a context it is no template anyway.
    return message


def _retyped(value: object) -> object:
    return value.value if isinstance(value, Expanded) else value


def _int(value: object) -> int:
    number = _retyped(value)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _wrong("a whole number", number)
    return number


def _float(value: object) -> float:
    number = _retyped(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _wrong("a number", number)
    return float(number)


def _bool(value: object) -> bool:
    flag = _retyped(value)
    if not isinstance(flag, bool):
        raise _wrong("true or false", flag)
    return flag


def _text(value: object) -> str:
    if not isinstance(value, str):
        cure = "; put it in quotes" if isinstance(value, int | float) else ""
        raise _wrong("text", value, cure=cure)
    return str(value)


def _secret(value: object) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        # What was written may be the secret: the message does not repeat it.
        kind = kind_of(value, secret=True)
        raise PydanticCustomError(
            "wrong_type", _literal(f"expected text, got {kind}; put it in quotes")
        )
    return SecretStr(str(value))


def _secret_list(value: object) -> tuple[SecretStr, ...]:
    if isinstance(value, str):
        return tuple(map(SecretStr, value.split(","))) if value else ()
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("wrong_type", "expected a list of texts")
    return tuple(_secret(item) for item in value)


def _text_list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        # As upstream's decoder: a single text is split at commas, without trimming.
        return tuple(value.split(",")) if value else ()
    if not isinstance(value, list | tuple):
        raise _wrong("a list of texts", value)
    return tuple(_text(item) for item in value)


def _duration(value: object, info: ValidationInfo) -> int:
    given = _retyped(value)
    if isinstance(given, str):
        try:
            return parse_duration(given)
        except ValueError as error:
            raise PydanticCustomError("duration", _literal(str(error))) from None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise _wrong("a duration such as 5s", given)
    if given != 0 and info.context is not None and info.context.get("from_file"):
        message = (
            f"the duration {given} has no unit; write {given}s or {given}ms"
            f" (upstream reads {given} nanoseconds)"
        )
        raise PydanticCustomError("duration", _literal(message))
    return int(given)


def _port_text(value: object) -> str:
    port = _retyped(value)
    if isinstance(port, int) and not isinstance(port, bool):
        port = str(port)
    if not isinstance(port, str):
        raise _wrong("a port", port)
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise PydanticCustomError("port", _literal(f"{port!r} is not a port"))
    return port


def _headers(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: "" if item is None else item for key, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    pairs: dict[object, object] = {}
    for item in value:
        if not isinstance(item, Mapping) or item.keys() != {"name", "value"}:
            raise _wrong("a map, or a list of {name, value}", value)
        pairs[item["name"]] = item["value"]
    return pairs


Int = Annotated[int, BeforeValidator(_int), TypeName("integer")]
Float = Annotated[float, BeforeValidator(_float), TypeName("number")]
Bool = Annotated[bool, BeforeValidator(_bool), TypeName("bool")]
Text = Annotated[str, BeforeValidator(_text), TypeName("text")]
# Never shown: `config` prints stars in its place.
Secret = Annotated[SecretStr, BeforeValidator(_secret), TypeName("secret text")]
SecretList = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_secret_list),
    TypeName("list of secret text"),
]
# One text stands for a list (split at commas, as upstream does).
TextList = Annotated[
    tuple[str, ...], BeforeValidator(_text_list), TypeName("list of text")
]
# Nanoseconds. In code a number is nanoseconds too; in a file it needs its unit.
Duration = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    TypeName("duration"),
]
Port = Annotated[int, BeforeValidator(_int), Field(ge=0, le=65535), TypeName("port")]
# A port that upstream types as text; we take the number as well. "" means none.
PortText = Annotated[str, BeforeValidator(_port_text), TypeName("port")]
# Header values are secrets, as upstream's configopaque.String is.
Headers = Annotated[
    dict[Text, Secret], BeforeValidator(_headers), TypeName("map of secret text")
]
