"""What the collector takes or refuses as configuration, ours does too.

``testdata/config-parity.txt`` is a list of small files with what became of each. Every
one is given to the collector's ``validate`` (or to the collector itself, where it sees
the problem only at start) and to our loader. Where the two differ on purpose, the file
names the row of docs/compatibility.md that says why.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tailring_router import components as router_components
from tailring_runtime.config import ConfigError, Loaded, Registry, load, redacted
from tailring_runtime.config import parse_duration as nanoseconds
from tailring_sampler import components as sampler_components
from tailring_testkit import servers

_CASES = Path(__file__).parent / "testdata" / "config-parity.txt"
_COMPATIBILITY = servers.repository() / "docs" / "compatibility.md"

_DIFFERENT = ("only upstream takes it", "only we take it", "the values differ")
_RESULTS = ("both take it", "both refuse it", *_DIFFERENT)

_Sections = dict[str, str | dict[str, str]]

_BASE = """\
receivers:
  otlp: {protocols: {grpc: {endpoint: "localhost:0"}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 512}
  batch: {}
exporters:
  otlp: {endpoint: "localhost:4317", tls: {insecure: true}}
extensions:
  health_check: {endpoint: "localhost:0"}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
"""
_TIERS = {
    "router": """\
exporters:
  load_balancing: {resolver: {static: {hostnames: [a, b]}}}
service:
  pipelines: {traces: {receivers: [otlp], exporters: [load_balancing]}}
""",
    "sampler": """\
processors:
  tail_sampling: {policies: [{name: all, type: always_sample}]}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}
""",
}


@dataclass(slots=True)
class Case:
    """One difference from the base file, and what becomes of it."""

    title: str
    tier: str
    texts: list[list[str]] = field(default_factory=lambda: [[]])
    raw: bytes | None = None
    environ: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    value: str = ""
    whole: bool = False
    start: bool = False
    result: str = ""
    detail: str = ""

    def direct(self, line: str) -> None:
        """Read a line that begins with an exclamation mark."""
        word, _, rest = line[1:].partition(" ")
        match word:
            case "env":
                name, _, value = rest.partition("=")
                self.environ[name] = _unescaped(value)
            case "args":
                self.arguments = [_unescaped(one) for one in shlex.split(rest)]
            case "raw":
                self.raw = ast.literal_eval("b" + rest)
            case "value":
                self.value = rest
            case "also":
                self.texts.append([])
            case "whole" | "start":
                setattr(self, word, True)
            case _:
                raise AssertionError(f"{self.title}: unknown directive {line}")

    def finish(self, result: str) -> None:
        """Read the last line."""
        self.result, _, self.detail = result.partition(": ")
        assert self.result in _RESULTS, f"{self.title}: {result}"

    def write(self, folder: Path) -> list[str]:
        """The files of the case, as arguments for both programs."""
        first = self.raw if self.raw is not None else self._first_text().encode()
        contents = [first, *("\n".join(text).encode() for text in self.texts[1:])]
        arguments = []
        for number, content in enumerate(contents):
            path = folder / f"config-{number}.yaml"
            path.write_bytes(content)
            arguments.append(f"--config={path}")
        return arguments + self.arguments

    def _first_text(self) -> str:
        text = "\n".join(self.texts[0]) + "\n"
        if self.whole:
            return text
        made = _sections(_BASE)
        for part in (_TIERS[self.tier], text):
            for section, body in _sections(part).items():
                known = made.get(section)
                if isinstance(known, dict) and isinstance(body, dict) and body:
                    known |= body
                else:
                    made[section] = body
        return "".join(_rendered(made))


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n")


def _sections(text: str) -> _Sections:
    """Top keys and, where the lines are indented, the keys below; their raw text."""
    found: _Sections = {}
    for block in re.findall(r"^\S.*\n(?:[ \t].*\n)*", text, re.MULTILINE):
        head, _, body = block.partition("\n")
        if head.endswith(":"):
            below = re.findall(r"^  \S.*\n(?:   .*\n)*", body, re.MULTILINE)
            found[head] = {re.split(r":(?=\s|$)", one.strip())[0]: one for one in below}
        else:
            found[re.split(": ", head)[0] + ":"] = block
    return found


def _rendered(sections: _Sections) -> Iterator[str]:
    for head, body in sections.items():
        if isinstance(body, str):
            yield body
        else:
            yield head + "\n"
            yield from body.values()


def _read_cases() -> Iterator[Case]:
    case: Case | None = None
    for line in _CASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            tier, _, title = line[2:].partition(": ")
            case = Case(title, tier)
        elif case is None:
            assert not line or line.startswith("#"), line
        elif line.startswith("---- "):
            case.finish(line[5:])
            yield case
            case = None
        elif line.startswith("!"):
            case.direct(line)
        else:
            case.texts[-1].append(line)


CASES = list(_read_cases())


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side says."""

    taken: bool
    text: str
    value: Any = None


@cache
def _registry(tier: str) -> Registry:
    if tier == "router":
        return router_components.registry()
    return sampler_components.registry()


def _ours(case: Case, arguments: list[str]) -> Answer:
    given: dict[str, list[str]] = {"--config": [], "--set": []}
    words = iter(arguments)
    for word in words:
        key, equals, value = word.partition("=")
        given[key].append(value if equals else next(words))
    try:
        loaded = load(
            given["--config"],
            sets=given["--set"],
            environ=case.environ,
            registry=_registry(case.tier),
        )
    except ConfigError as error:
        return Answer(False, str(error))
    return Answer(True, "", _our_value(loaded, case.value))


def _our_value(loaded: Loaded, path: str) -> Any:
    return _plain(_at(redacted(loaded.config), path)) if path else None


def _at(tree: Any, path: str) -> Any:
    for key in filter(None, path.split("::")):
        tree = (tree or {}).get(key)
    return tree


def _plain(value: Any) -> Any:
    """Without the differences of the two ways to print: ours prints durations."""
    if isinstance(value, str) and re.fullmatch(r"-?([0-9.]+(h|m|s|ms|us|ns))+", value):
        value = nanoseconds(value)
    return value or None


def _theirs(case: Case, arguments: list[str]) -> Answer:
    if case.start:
        return _started(case, arguments)
    done = _run(case, "validate", *arguments)
    if done.returncode != 0 or not case.value:
        return Answer(done.returncode == 0, done.stderr)
    options = ("--format=json", "--mode=unredacted")
    shown = _run(case, "print-config", *options, *arguments)
    assert shown.returncode == 0, shown.stderr
    return Answer(True, "", _plain(_at(json.loads(shown.stdout), case.value)))


def _run(case: Case, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [servers.binary("otelcol"), *arguments],
        env=_environment(case),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _environment(case: Case) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/", **case.environ}


def _started(case: Case, arguments: list[str]) -> Answer:
    """The collector itself, until it runs or gives up."""
    said = []
    with subprocess.Popen(
        [servers.binary("otelcol"), *arguments],
        env=_environment(case),
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            said.append(line)
            if "Everything is ready" in line:
                child.kill()
                return Answer(True, "")
    return Answer(False, "".join(said))


def _outcome(ours: Answer, theirs: Answer) -> str:
    if ours.taken != theirs.taken:
        return "only we take it" if ours.taken else "only upstream takes it"
    if not ours.taken:
        return "both refuse it"
    return "both take it" if ours.value == theirs.value else "the values differ"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.tier}: {case.title}")
def test_same_answer(case: Case, tmp_path: Path) -> None:
    """A configuration is taken or refused as by the collector, or as agreed."""
    arguments = case.write(tmp_path)
    ours = _ours(case, arguments)
    theirs = _theirs(case, arguments)
    assert _outcome(ours, theirs) == case.result, f"{ours}\n{theirs}"
    if case.result == "both refuse it":
        assert case.detail.lower() in ours.text.lower(), ours.text
        assert case.detail.lower() in theirs.text.lower(), theirs.text


def test_differences_are_explained() -> None:
    """Every difference on purpose is a row of docs/compatibility.md."""
    section = _COMPATIBILITY.read_text(encoding="utf-8").partition("\n## Configuration")
    rows = set(re.findall(r"^\| (.+?) \|", section[2].partition("\n## ")[0], re.M))
    named = {case.detail for case in CASES if case.result in _DIFFERENT}
    assert named - rows == set()


def test_cases_are_many_and_different() -> None:
    """No case stands there twice, and there are enough of them to mean something."""
    titles = {(case.tier, case.title) for case in CASES}
    assert len(titles) == len(CASES) >= 120
