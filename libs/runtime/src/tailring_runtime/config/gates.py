"""Feature gates: switches of behaviour that upstream has not made final.

They are given as upstream's, ``--feature-gates=+one,-other``: a bare name switches on,
the last word on a gate wins, and an empty text switches nothing. Known are the gates
of the collector's v0.161.0 and those that a service brings with the same names. One
that is not built here may be set to what it is by default, which changes nothing, and
is refused with the reason otherwise: nobody believes in a switch that does nothing.

What it does not know: what a gate does. A service asks whether its name is on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tailring_runtime.config.model import nearest

__all__ = ["UPSTREAM_GATES", "FeatureGate", "Switched", "gates_of", "listing", "switch"]

Stage = Literal["alpha", "beta", "stable"]

_NOT_HERE = "is not in this version"
_SAMPLER = "processor.tailsamplingprocessor."


@dataclass(frozen=True, slots=True)
class FeatureGate:
    """One switch. Alpha is off by default, beta and stable are on.

    ``refused`` is why it cannot be switched from its default here; "" when it can.
    """

    name: str
    description: str
    stage: Stage = "alpha"
    refused: str = ""

    @property
    def on(self) -> bool:
        """Whether it is on when nobody says anything."""
        return self.stage != "alpha"


@dataclass(frozen=True, slots=True)
class Switched:
    """What is on, and a sentence for everything that is wrong."""

    on: frozenset[str]
    problems: tuple[str, ...] = ()


def _foreign(name: str, stage: Stage = "alpha", why: str = _NOT_HERE) -> FeatureGate:
    return FeatureGate(name, f"A gate of the collector that {why}.", stage, why)


_TAIL_STORAGE = "is not needed: traces are held in memory, tail_storage is refused"

# All of the collector's v0.161.0 with the contrib components that are imitated here.
UPSTREAM_GATES: Final = (
    _foreign("confmap.enableMergeAppendOption"),
    _foreign("exporter.file.nativeCompression"),
    _foreign("extension.healthcheck.useComponentStatus"),
    _foreign("ottl.PanicDuplicateName", "stable"),
    _foreign("ottl.contexts.enableOTelColContext", "stable"),
    _foreign("ottl.functions.enableLambda"),
    _foreign("ottl.set.allowNil", "beta", "is about a function that conditions lack"),
    _foreign("pdata.useProtoPooling", why="is about the memory of a Go process"),
    _foreign("pkg.exporterhelper.queueBatchEnabled"),
    _foreign(f"{_SAMPLER}metricstatcountbytessampled"),
    _foreign(f"{_SAMPLER}metricstatcountspanssampled"),
    _foreign(f"{_SAMPLER}recordpolicy"),
    _foreign(f"{_SAMPLER}tailstorageextension", why=_TAIL_STORAGE),
    _foreign(f"{_SAMPLER}usetracestate"),
    _foreign("receiverhelper.newReceiverMetrics"),
    _foreign("service.AllowNoPipelines"),
    _foreign("service.partialReload"),
    _foreign("service.partialReloadReceivers", "beta"),
    _foreign("service.profilesSupport"),
    _foreign("telemetry.newPipelineTelemetry"),
)


def gates_of(own: Iterable[FeatureGate]) -> tuple[FeatureGate, ...]:
    """Upstream's gates, those in ``own`` as the service has them; sorted by name."""
    found = {gate.name: gate for gate in UPSTREAM_GATES}
    found.update((gate.name, gate) for gate in own)
    return tuple(found[name] for name in sorted(found))


def switch(text: str, gates: Iterable[FeatureGate]) -> Switched:
    """What is on among ``gates`` after ``text``, for example ``+one,-other``."""
    known = {gate.name: gate for gate in gates}
    on = {gate.name for gate in known.values() if gate.on}
    problems = []
    for word in text.split(",") if text else ():
        name, wanted = word.strip().lstrip("+"), True
        if word.strip().startswith("-"):
            name, wanted = word.strip()[1:], False
        problem = _problem(name, known, wanted=wanted)
        if problem:
            problems.append(problem)
        elif wanted:
            on.add(name)
        else:
            on.discard(name)
    return Switched(frozenset(on), tuple(problems))


def listing(text: str, gates: Sequence[FeatureGate]) -> Iterator[str]:
    """A table of the gates for people, as they stand after ``text``."""
    on = switch(text, gates).on
    width = max(len(gate.name) for gate in gates)
    yield f"{'ID':{width}}  ENABLED  STAGE  DESCRIPTION"
    for gate in gates:
        state = "true" if gate.name in on else "false"
        stage = f"{gate.stage:{len('STAGE') + 1}}"
        yield f"{gate.name:{width}}  {state:7}  {stage} {gate.description}"


def _problem(name: str, known: dict[str, FeatureGate], *, wanted: bool) -> str:
    if not name:
        return "a name is missing: write +NAME or -NAME, separated by commas"
    gate = known.get(name)
    if gate is None:
        return f'no such feature gate "{name}"{_hint(name, known)}'
    if gate.stage == "stable" and not wanted:
        return f'feature gate "{name}" is stable and cannot be switched off'
    if gate.refused and wanted != gate.on:
        way = "on" if wanted else "off"
        return f'feature gate "{name}" {gate.refused}; it cannot be switched {way}'
    return ""


def _hint(name: str, known: Iterable[str]) -> str:
    """What the name may have been meant for; the last part may stand alone."""
    names = list(known)
    ends = [one for one in names if one.rpartition(".")[2].lower() == name.lower()]
    close = ends[0] if ends else nearest(name, names)
    return f"; did you mean {close}?" if close else "; known are those of 'featuregate'"
