"""From the expanded tree to a `CollectorConfig`, or to the list of all its problems.

Everything is checked before anything is refused: unknown sections, components and
keys, wrong types, references that lead nowhere, pipelines without ends. A problem does
not hide the next one, and does not cause a second one: a component that is broken is
still there for the pipelines that name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from tailring_runtime.config.collector import (
    CollectorConfig,
    Pipeline,
    ServiceConfig,
)
from tailring_runtime.config.component import SIGNALS, ComponentId, Kind, Registry
from tailring_runtime.config.expand import key_path
from tailring_runtime.config.model import ConfigModel, nearest
from tailring_runtime.config.references import complaint, references
from tailring_runtime.config.rules import readable
from tailring_runtime.config.telemetry import TelemetryConfig
from tailring_runtime.config.types import FROM_FILE, Expanded, kind_of
from tailring_runtime.config.yamltree import Path
from tailring_runtime.errors import Problem

__all__ = ["Decoder"]

SECTIONS: Final[dict[str, Kind]] = {
    "receivers": "receiver",
    "processors": "processor",
    "exporters": "exporter",
    "connectors": "connector",
    "extensions": "extension",
}
TOP_KEYS: Final = (*SECTIONS, "service")
SERVICE_KEYS: Final = ("extensions", "pipelines", "telemetry")
PIPELINE_KEYS: Final = ("receivers", "processors", "exporters")

# Another component, such as otlp and otlphttp, is no misspelling.
TYPES_ALIKE: Final = 0.75

ModelT = TypeVar("ModelT", bound=ConfigModel)


class Decoder:
    """Decodes one tree; `problems` and `warnings` fill up on the way."""

    def __init__(self, registry: Registry, origins: Mapping[Path, str]) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._registry = registry
        self._origins = origins
        # Every id that was written, usable or not, and those that something names.
        self._written: dict[str, set[ComponentId]] = {name: set() for name in SECTIONS}
        # Values that are known to be broken; what decoding says of them is no news.
        self._broken: set[Path] = set()
        # What can be read of components that have problems of their own.
        self._partials: dict[tuple[str, ComponentId], ConfigModel] = {}
        self._used: dict[str, set[ComponentId]] = {name: set() for name in SECTIONS}

    def report(self, path: Path, message: str) -> None:
        """Add a problem that was found before decoding."""
        self._problem(path, message)
        # A list of texts is told about as a whole.
        while isinstance(path[-1], int):
            self._broken.add(path)
            path = path[:-1]
        self._broken.add(path)

    def decode(self, tree: Mapping[str, Any]) -> CollectorConfig | None:
        """The configuration, or None when there are problems."""
        self._known_keys(tree, TOP_KEYS, ())
        components = {
            section: self._section(section, tree.get(section)) for section in SECTIONS
        }
        service = self._service(tree.get("service"))
        self._check_references(components, listed=service.extensions)
        self._check_fit(components, service)
        self._warn_unused()
        if self.problems:
            return None
        return CollectorConfig(
            service=service,
            receivers=components["receivers"],
            processors=components["processors"],
            exporters=components["exporters"],
            extensions=components["extensions"],
        )

    # Components

    def _section(self, section: str, value: Any) -> dict[ComponentId, ConfigModel]:
        found: dict[ComponentId, ConfigModel] = {}
        for text, body in self._map(value, (section,)).items():
            path = (section, text)
            one = self._id(text, path)
            if one is None:
                continue
            if one in self._written[section]:
                self._problem(path, f"the component {one} is defined twice")
            self._written[section].add(one)
            model = self._component(SECTIONS[section], one, body=body, path=path)
            if model is None:
                self._salvage(one, body, section=section)
            if model is not None:
                found[one] = model
        return found

    def _component(
        self, kind: Kind, one: ComponentId, *, body: Any, path: Path
    ) -> ConfigModel | None:
        known = self._registry.find(kind, one.type)
        if known is None:
            self._unknown_component(kind, one, path)
            return None
        if one.type in known.deprecated:
            warning = f"the {kind} type {one.type} is called {known.name} now"
            self._warn(path, warning)
        model = self._model(known.model, body, path)
        if model is not None:
            self._advice(model, path)
        return model

    def _salvage(self, one: ComponentId, body: Any, *, section: str) -> None:
        known = self._registry.find(SECTIONS[section], one.type)
        if known is None:
            return
        try:
            known.model.model_validate(body, context=dict(FROM_FILE))
        except ValidationError as error:
            wrong = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
            found = known.model.salvage(body, wrong)
            if found is not None:
                self._partials[section, one] = found

    def _unknown_component(self, kind: Kind, one: ComponentId, path: Path) -> None:
        reason = self._registry.reason(kind, one.type)
        if reason:
            self._problem(path, f"the {kind} {one.type} is refused: {reason}")
            return
        names = self._registry.names(kind)
        known = ", ".join(names) if names else "none"
        service = self._registry.service
        message = (
            f"unknown {kind} {one.type!r}; {service} knows {known}; keep others in an"
            " agent or gateway in front"
        )
        close = nearest(one.type, names, alike=TYPES_ALIKE)
        self._problem(path, message, close=close)

    def _model(self, model: type[ModelT], body: Any, path: Path) -> ModelT | None:
        try:
            return model.model_validate(
                {} if body is None else body, context=dict(FROM_FILE)
            )
        except ValidationError as error:
            for details in error.errors():
                where: Path = (*path, *details["loc"])
                close = (details.get("ctx") or {}).get("nearest", "")
                message = details["msg"].removeprefix("Value error, ")
                self._problem(where, message, close=close)
            return None

    def _advice(self, model: BaseModel, path: Path) -> None:
        if isinstance(model, ConfigModel):
            for sentence in model.advice():
                self._warn(path, sentence)
        for name in type(model).model_fields:
            value = getattr(model, name)
            several = isinstance(value, tuple)
            for i, item in enumerate(value if several else (value,)):
                if isinstance(item, BaseModel):
                    self._advice(item, (*path, name, i) if several else (*path, name))

    def _warn_unused(self) -> None:
        for section, kind in SECTIONS.items():
            for one in sorted(self._written[section] - self._used[section]):
                self._warn((section, str(one)), f"the {kind} is defined but not used")

    def _check_references(
        self,
        components: Mapping[str, Mapping[ComponentId, ConfigModel]],
        *,
        listed: tuple[ComponentId, ...],
    ) -> None:
        found = components["extensions"]
        defined = {one: found.get(one) for one in self._written["extensions"]}
        for reference in references(components):
            # Named, if only by a component, it is no second problem.
            self._used["extensions"].add(reference.extension)
            message, close = complaint(reference, defined=defined, listed=listed)
            if message:
                self._problem(reference.path, message, close=close)

    def _check_fit(
        self,
        components: Mapping[str, Mapping[ComponentId, ConfigModel]],
        service: ServiceConfig,
    ) -> None:
        """What is wrong with a component only in a pipeline of this signal."""
        named = (
            (pipeline_id, section, one)
            for pipeline_id, pipeline in service.pipelines.items()
            for section in PIPELINE_KEYS
            for one in getattr(pipeline, section)
        )
        for pipeline_id, section, one in named:
            model = components[section].get(one) or self._partials.get((section, one))
            if model is None:
                continue
            for key, why in readable(partial(model.unfit, pipeline_id.type)):
                path = (section, str(one), key)
                self._problem(path, f'{why} (in pipeline "{pipeline_id}")')

    # Service

    def _service(self, value: Any) -> ServiceConfig:
        path: Path = ("service",)
        tree = self._map(value, path)
        self._known_keys(tree, SERVICE_KEYS, path)
        extensions = self._references(
            tree.get("extensions"), (*path, "extensions"), section="extensions"
        )
        telemetry = self._model(
            TelemetryConfig, tree.get("telemetry"), (*path, "telemetry")
        )
        pipelines = self._pipelines(tree.get("pipelines"), (*path, "pipelines"))
        return ServiceConfig(pipelines, extensions, telemetry or TelemetryConfig())

    def _pipelines(self, value: Any, path: Path) -> dict[ComponentId, Pipeline]:
        found: dict[ComponentId, Pipeline] = {}
        tree = self._map(value, path)
        if not tree:
            self._problem(path, "service must have at least one pipeline")
        for text, body in tree.items():
            one = self._id(text, (*path, text))
            if one is not None and self._is_supported(one, (*path, text)):
                found[one] = self._pipeline(one, body, (*path, text))
            else:
                # Named only there, a component is no second problem.
                self._use_all(body)
        return found

    def _is_supported(self, one: ComponentId, path: Path) -> bool:
        if one.type in SIGNALS:
            return True
        if one.type == "profiles":
            self._problem(
                path,
                "pipelines of profiles are not supported; keep them in the agent or"
                " gateway in front",
            )
        else:
            close = nearest(one.type, SIGNALS)
            self._problem(path, f"unknown signal {one.type!r}", close=close)
        return False

    def _pipeline(self, one: ComponentId, value: Any, path: Path) -> Pipeline:
        tree = self._map(value, path)
        self._known_keys(tree, PIPELINE_KEYS, path)
        parts: dict[str, tuple[ComponentId, ...]] = {}
        for section in PIPELINE_KEYS:
            where = (*path, section)
            parts[section] = self._references(tree.get(section), where, section=section)
            self._check_signals(parts[section], one, section=section, path=where)
            if not parts[section] and section != "processors":
                self._problem(path, f"must have at least one {SECTIONS[section]}")
        return Pipeline(
            receivers=parts["receivers"],
            exporters=parts["exporters"],
            processors=parts["processors"],
        )

    def _check_signals(
        self,
        references: Iterable[ComponentId],
        pipeline: ComponentId,
        *,
        section: str,
        path: Path,
    ) -> None:
        for one in references:
            known = self._registry.find(SECTIONS[section], one.type)
            if known is not None and pipeline.type not in known.signals:
                kind = SECTIONS[section]
                message = f'failed to create "{one}" {kind}, in pipeline "{pipeline}"'
                self._problem(path, f"{message}: telemetry type is not supported")

    def _references(
        self, value: Any, path: Path, *, section: str
    ) -> tuple[ComponentId, ...]:
        found: list[ComponentId] = []
        for i, text in enumerate(self._list(value, path)):
            where = (*path, i)
            one = self._id(text, where)
            if one is None:
                continue
            kind = SECTIONS[section]
            if one in found:
                self._twice(kind, one, where)
                continue
            found.append(one)
            self._used[section].add(one)
            if one not in self._written[section]:
                close = nearest(text, map(str, self._written[section]))
                close = close or nearest(text, self._registry.names(kind))
                message = f"references the {kind} {text!r}, which is not defined"
                if close == text:  # it exists, and has no block in this file
                    close, message = "", f"{message}; define it under {section}"
                self._problem(where, message, close=close)
        return tuple(found)

    def _twice(self, kind: Kind, one: ComponentId, path: Path) -> None:
        message = f"references the {kind} {str(one)!r} twice"
        if kind == "processor":
            self._problem(path, message)
        else:
            self._warn(path, f"{message}; once is enough")

    def _use_all(self, pipeline: Any) -> None:
        for section in PIPELINE_KEYS:
            names = pipeline.get(section) if isinstance(pipeline, Mapping) else None
            for text in names if isinstance(names, list) else ():
                kind, _, name = str(text).partition("/")
                self._used[section].add(ComponentId(kind, name))

    # Values

    def _id(self, text: Any, path: Path) -> ComponentId | None:
        if not isinstance(text, str):
            self._problem(path, f"expected a component's name, got {kind_of(text)}")
            return None
        try:
            return ComponentId.parse(text)
        except ValueError as error:
            self._problem(path, str(error))
            return None

    def _map(self, value: Any, path: Path) -> Mapping[str, Any]:
        given = value.value if isinstance(value, Expanded) else value
        if given is None:
            return {}
        if isinstance(given, Mapping):
            return given
        self._problem(path, f"expected a map of keys, got {kind_of(given)}")
        return {}

    def _list(self, value: Any, path: Path) -> list[Any]:
        given = value.value if isinstance(value, Expanded) else value
        if given is None:
            return []
        if isinstance(given, list):
            return given
        self._problem(path, f"expected a list of components, got {kind_of(given)}")
        return []

    def _known_keys(
        self, tree: Mapping[str, Any], keys: tuple[str, ...], path: Path
    ) -> None:
        for key in tree:
            if key not in keys:
                close = nearest(key, keys)
                self._problem((*path, key), "unknown key", close=close)

    def _problem(self, path: Path, message: str, *, close: str = "") -> None:
        if path in self._broken:
            return
        problem = Problem(
            message, path=key_path(path), source=self._origin(path), nearest=close
        )
        self.problems.append(problem)

    def _warn(self, path: Path, message: str) -> None:
        source = self._origin(path)
        where = f"{source}: " if source else ""
        self.warnings.append(f"{where}{key_path(path)}: {message}")

    def _origin(self, path: Path) -> str:
        """Where the nearest enclosing key was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]]
        return ""
