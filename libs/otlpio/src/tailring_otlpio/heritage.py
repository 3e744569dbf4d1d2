"""Which parts of one assembly go on in the next.

A part goes on when its block in the file means the same as before and so does every
extension that the block names. What it holds, its connections and its counters are
untouched then. A part may also adopt a new block without being replaced
(`Adopting`): a load balancer whose static list has changed.

The processors of a pipeline go on together, when all of them and all exporters behind
them do, in the same order; a receiver, when it serves the same signals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tailring_otlpio.metadata_keys import metadata_keys_of
from tailring_pipeline import Signal, Stage
from tailring_runtime.config import (
    CollectorConfig,
    ComponentId,
    ConfigModel,
    references,
    same,
)

if TYPE_CHECKING:
    from tailring_otlpio.assembly import Assembly, Chain
    from tailring_otlpio.file_exporter import Files
    from tailring_otlpio.making import Part
    from tailring_otlpio.receiver import OtlpReceiver

__all__ = ["Adopting", "Heritage"]


@runtime_checkable
class Adopting(Protocol):
    """A part that can follow some changes of its block."""

    def adopts(self, model: Any) -> bool:
        """Whether this part may go on under ``model``."""

    def adopt(self, model: Any) -> None:
        """Follow what can be followed of ``model``; also told to a part that leaves,
        with the block of the one that replaces it."""


class Heritage:
    """What the assembly of ``config`` takes over from the one ``before``."""

    def __init__(
        self,
        before: Assembly | None,
        config: CollectorConfig,
        *,
        without: Collection[Stage] = (),
    ) -> None:
        """``without`` are parts that have ended and cannot go on."""
        self.before = before
        self._config = config
        self._without = set(map(id, without))
        self.adoptions: list[tuple[Adopting, ConfigModel]] = []

    def extensions(self) -> Mapping[ComponentId, Stage]:
        """Those that go on."""
        if self.before is None:
            return {}
        return {
            one: part
            for one, part in self.before.extensions.parts.items()
            if self._extension(one)
        }

    def exporter(self, component: ComponentId, signal: Signal) -> Part | None:
        """The exporter, if it goes on; one that adopts a new block is noted."""
        part = self.before and self.before.exporters.get((component, signal))
        if not part or self.before is None or id(part) in self._without:
            return None
        if self._keys_changed():
            return None
        model = self._config.exporters[component]
        was = self.before.config.exporters[component]
        if not self._named_go_on("exporters", component, model):
            return None
        if same(was, model):
            return part
        if isinstance(part, Adopting) and part.adopts(model):
            self.adoptions.append((part, model))
            return part
        return None

    def files(self) -> Mapping[ComponentId, Files]:
        """Those of exporters whose blocks mean the same as before."""
        if self.before is None or self._keys_changed():
            return {}
        was, now = self.before.config.exporters, self._config.exporters
        return {
            one: files
            for one, files in self.before.extensions.files.items()
            if one in now and same(was[one], now[one])
        }

    def chain(self, pipeline: ComponentId, exporters: Collection[Part]) -> Chain | None:
        """A pipeline's processors with its head, if they go on to ``exporters``."""
        if self.before is None or pipeline not in self.before.chains:
            return None
        old = self.before.config.service.pipelines[pipeline]
        new = self._config.service.pipelines[pipeline]
        if (old.processors, old.exporters) != (new.processors, new.exporters):
            return None
        signal = Signal(pipeline.type)
        before = [self.before.exporters[one, signal] for one in old.exporters]
        if any(a is not b for a, b in zip(before, exporters, strict=True)):
            return None
        if not all(self._unchanged("processors", one) for one in new.processors):
            return None
        return self.before.chains[pipeline]

    def receiver(
        self, component: ComponentId, signals: Collection[Signal]
    ) -> OtlpReceiver | None:
        """The receiver, if it goes on."""
        if self.before is None or component not in self.before.receivers:
            return None
        if self._keys_changed():
            return None
        inlets = self.before.inlets
        served = {signal for one, signal in inlets if one == component}
        if served != set(signals) or not self._unchanged("receivers", component):
            return None
        return self.before.receivers[component]

    def _keys_changed(self) -> bool:
        """Whether requests bear other marks than before: nobody goes on then."""
        assert self.before is not None
        return metadata_keys_of(self.before.config) != metadata_keys_of(self._config)

    def _unchanged(self, section: str, component: ComponentId) -> bool:
        assert self.before is not None
        was = getattr(self.before.config, section).get(component)
        model = getattr(self._config, section)[component]
        return same(was, model) and self._named_go_on(section, component, model)

    def _named_go_on(
        self, section: str, component: ComponentId, model: ConfigModel
    ) -> bool:
        named = references({section: {component: model}})
        return all(self._extension(reference.extension) for reference in named)

    def _extension(self, component: ComponentId) -> bool:
        assert self.before is not None
        was = self.before.config
        listed = (was.service.extensions, self._config.service.extensions)
        return all(component in ids for ids in listed) and same(
            was.extensions[component], self._config.extensions[component]
        )
