"""Names of components, and the registry of those that a service knows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Literal

from tailring_runtime.config.gates import FeatureGate, gates_of
from tailring_runtime.config.model import ConfigModel

__all__ = ["KINDS", "SIGNALS", "ComponentId", "ComponentType", "Kind", "Registry"]

Kind = Literal["receiver", "processor", "exporter", "connector", "extension"]

KINDS: Final[tuple[Kind, ...]] = (
    "receiver",
    "processor",
    "exporter",
    "connector",
    "extension",
)

# The pipelines that there are; upstream has profiles as well.
SIGNALS: Final[AbstractSet[str]] = frozenset({"traces", "logs", "metrics"})

_TYPE = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}")
NAME_LENGTH_MAX = 1024


@dataclass(frozen=True, slots=True, order=True)
class ComponentId:
    """``type`` or ``type/name``, as written in the file; also a pipeline's id."""

    type: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> ComponentId:
        """Read ``type/name`` by upstream's rules. Raises ValueError with the reason."""
        kind, slash, name = (part.strip() for part in text.partition("/"))
        if not kind and not slash:
            raise ValueError("id must not be empty")
        if not kind:
            raise ValueError(f"in {text!r} id: the part before / should not be empty")
        if slash and not name:
            raise ValueError(f"in {text!r} id: the part after / should not be empty")
        if _TYPE.fullmatch(kind) is None:
            raise ValueError(f"invalid character(s) in type {kind!r}")
        if len(name) > NAME_LENGTH_MAX:
            raise ValueError(f"name of {kind!r} is longer than {NAME_LENGTH_MAX}")
        if any(unicodedata.category(char)[0] in "ZCS" for char in name):
            raise ValueError(f"invalid character(s) in name {name!r}")
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.type}/{self.name}" if self.name else self.type


@dataclass(frozen=True, slots=True)
class ComponentType:
    """One kind of component that a service can run.

    ``aliases`` are other spellings, ``deprecated`` are former names (used with a
    warning). A component keeps the id that was written, also in metric labels.
    ``signals`` are the pipelines it may stand in.
    """

    kind: Kind
    name: str
    model: type[ConfigModel]
    aliases: AbstractSet[str] = frozenset()
    deprecated: AbstractSet[str] = frozenset()
    signals: AbstractSet[str] = SIGNALS

    def names(self) -> frozenset[str]:
        """Every word that an operator may write for it."""
        return frozenset({self.name, *self.aliases, *self.deprecated})


@dataclass(frozen=True, slots=True)
class Registry:
    """What one service knows; its ``app`` makes it, nothing registers itself.

    ``refused_components`` maps (kind, type name) to the reason why a component of
    upstream's is refused here and where it belongs. ``gates`` are the feature gates
    that the service has built.
    """

    service: str
    types: tuple[ComponentType, ...]
    refused_components: Mapping[tuple[str, str], str] = field(default_factory=dict)
    gates: tuple[FeatureGate, ...] = ()

    def __post_init__(self) -> None:
        seen: set[tuple[Kind, str]] = set()
        for one in self.types:
            for name in one.names():
                if (one.kind, name) in seen:
                    raise ValueError(f"two {one.kind}s are called {name}")
                seen.add((one.kind, name))

    def find(self, kind: Kind, name: str) -> ComponentType | None:
        """The type that is called ``name``, by any of its spellings."""
        for one in self.types:
            if one.kind == kind and name in one.names():
                return one
        return None

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names of a kind that are not deprecated, sorted."""
        return tuple(sorted(self._current(kind)))

    def all_gates(self) -> tuple[FeatureGate, ...]:
        """Every feature gate that may be named, upstream's others included."""
        return gates_of(self.gates)

    def reason(self, kind: Kind, name: str) -> str:
        """Why a component is refused here; "" when it is simply unknown."""
        return self.refused_components.get((kind, name), "")

    def _current(self, kind: Kind) -> Iterable[str]:
        for one in self.types:
            if one.kind == kind:
                yield from {one.name, *one.aliases}
