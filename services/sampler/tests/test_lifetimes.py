"""The lifetimes of traces, as transcripts in ``testdata``.

new wait=5s max=0s root=2s num_traces=3 keep=ab from=first kept_cache=0 dropped_cache=0
    a sampler that keeps the traces whose letter is in ``keep``
arrive a b:3 c:r  spans of traces, in one request; late ones of kept traces show;
                  ``c:r`` is the root of c
arrive a every=3s for=9s     the same again and again while time passes
wait 2s           time passes; what falls due is judged tick by tick
hold a / let a    a trace is kept past its deadline / may be judged
give a            the trace is handed off and shown with its age
take a 3s         a trace of that age is taken in from elsewhere
learn a sampled   a decision that was made elsewhere
stop / discard / abandon      the ends of a process
show              what is held and what has left by which door
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tailring_runtime.config import parse_duration
from tailring_sampler.decisions import DecisionMemory
from tailring_sampler.doors import Decision, Door
from tailring_sampler.judge import Judge, NamedPolicy
from tailring_sampler.policies import Trace, Vote
from tailring_sampler.sampler import KeptTrace, Sampler
from tailring_sampler.tracebuffer import ROOT_WAIT_OFF, HandedTrace, TraceBuffer
from tailring_testkit import otlp, transcript

TESTDATA = Path(__file__).with_name("testdata")
TICK_NS = 100_000_000
SECOND_NS = 1_000_000_000


def id_of(letter: str) -> bytes:
    """The trace id behind a letter."""
    return letter.encode() * 16


class Letters:
    """Keeps the traces of some letters."""

    def __init__(self, letters: str) -> None:
        self._letters = letters.encode()

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """By the first byte of the id."""
        kept = trace.trace_id[0] in self._letters
        return Vote.SAMPLED if kept else Vote.NOT_SAMPLED


class Theatre:
    """Plays a transcript on one sampler."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.spans = 0
        self.sampler = self.new([], {})
        self.verbs: dict[str, Callable[[list[str], dict[str, str]], str]] = {
            "arrive": self.arrive,
            "wait": self.wait,
            "hold": lambda words, _: self.hold(words[0], held=True),
            "let": lambda words, _: self.hold(words[0], held=False),
            "give": self.give,
            "take": self.take,
            "learn": self.learn,
            "stop": self.stop,
            "discard": lambda _words, _options: self.let_go(Door.DISCARDED),
            "abandon": lambda _words, _options: self.let_go(Door.ABANDONED),
            "show": self.show,
        }

    def run(self, command: str) -> str:
        """Play one command and check the invariants after it."""
        verb, words, options = transcript.words_of(command)
        if verb == "new":
            self.now_ns = 0
            self.sampler = self.new(words, options)
            return "ready"
        said = self.verbs[verb](words, options)
        self.sampler.check_invariants()
        return said

    def new(self, _words: list[str], options: dict[str, str]) -> Sampler:
        """A sampler of the options."""
        buffer = TraceBuffer(
            traces_max=int(options.get("num_traces", "100")),
            wait_ns=parse_duration(options.get("wait", "5s")),
            from_last=options.get("from") == "last",
            wait_max_ns=parse_duration(options.get("max", "0s")),
            root_wait_ns=parse_duration(options["root"])
            if "root" in options
            else ROOT_WAIT_OFF,
        )
        policy = NamedPolicy("letters", Letters(options.get("keep", "")))
        memory = DecisionMemory(
            sampled_max=int(options.get("kept_cache", "0")),
            not_sampled_max=int(options.get("dropped_cache", "0")),
        )
        return Sampler(buffer, Judge([policy]), memory)

    def arrive(self, words: list[str], options: dict[str, str]) -> str:
        """One request with spans of these traces, or one after each pause."""
        end_ns = self.now_ns + parse_duration(options.get("for", "0s"))
        lines = self.ingest(words)
        while self.now_ns < end_ns:
            lines += [said for said in [self.wait([options["every"]], {})] if said]
            lines += self.ingest(words)
        return "\n".join(lines)

    def ingest(self, words: list[str]) -> list[str]:
        """One request with spans of these traces."""
        late = self.sampler.ingest(self.request(words), self.now_ns)
        return [self.told("released late", one) for one in late]

    def request(self, words: list[str]) -> bytes:
        """``a:3`` is three spans of trace a, ``a:r`` its root."""
        spans = []
        for word in words:
            letter, _, count = word.partition(":")
            parent = b"" if count == "r" else b"p" * 8
            for _ in range(int(count) if count.isdigit() else 1):
                self.spans += 1
                span_id = self.spans.to_bytes(8, "big")
                spans.append(otlp.span(id_of(letter), span_id, parent=parent))
        return otlp.request(*spans)

    def wait(self, words: list[str], _options: dict[str, str]) -> str:
        """Let time pass, tick by tick."""
        end_ns = self.now_ns + parse_duration(words[0])
        lines = []
        while self.now_ns < end_ns:
            self.now_ns += TICK_NS
            lines += self.judge()
        return "\n".join(lines)

    def judge(self) -> list[str]:
        """Judge what is due, two at a time."""
        lines: list[str] = []
        judged = 1
        while judged:
            before = self.sampler.decisions[Decision.NOT_SAMPLED]
            judged, kept = self.sampler.judge_due(self.now_ns, traces_max=2)
            lines += [self.told("kept", one) for one in kept]
            dropped = self.sampler.decisions[Decision.NOT_SAMPLED] - before
            if dropped:
                lines.append(f"{self.clock()} dropped {dropped}")
        return lines

    def hold(self, letter: str, *, held: bool) -> str:
        """Set the flag of a pending trace."""
        record = self.sampler.buffer.get(id_of(letter))
        assert record is not None
        self.sampler.buffer.set_held(record, held=held)
        return ""

    def give(self, words: list[str], _options: dict[str, str]) -> str:
        """Hand a trace off."""
        handed = self.sampler.buffer.give_up(id_of(words[0]), self.now_ns)
        if handed is None:
            return f"{words[0]} is not pending"
        spans = len(otlp.spans_of(handed.payload))
        return (
            f"handed off {words[0]}: {spans} spans, {self.seconds(handed.age_ns)} old"
        )

    def take(self, words: list[str], _options: dict[str, str]) -> str:
        """Take a trace in."""
        letter, age = words
        payload = self.request([letter])
        handed = HandedTrace(id_of(letter[0]), payload, parse_duration(age))
        late = self.sampler.take_in(handed, self.now_ns)
        return "\n".join(self.told("released late", one) for one in late)

    def learn(self, words: list[str], _options: dict[str, str]) -> str:
        """Take a decision in."""
        letter, decision = words
        kept = self.sampler.learn(id_of(letter), Decision(decision), now_ns=self.now_ns)
        return "" if kept is None else self.told("released late", kept)

    def stop(self, _words: list[str], _options: dict[str, str]) -> str:
        """Judge everything now."""
        self.sampler.expire_all(self.now_ns)
        return "\n".join(self.judge())

    def let_go(self, door: Door) -> str:
        """Let everything pending go."""
        return f"let go of {self.sampler.discard_pending(door, self.now_ns)}"

    def show(self, _words: list[str], _options: dict[str, str]) -> str:
        """Holdings and doors."""
        buffer = self.sampler.buffer
        lines = [
            f"live {buffer.traces_live}, pending {buffer.traces_pending},"
            f" spans held {buffer.spans_held}"
        ]
        for (door, decision), spans in buffer.spans_left.items():
            traces = buffer.traces_left.get((door, decision), 0)
            lines.append(
                f"{door.value} {decision.value}: {traces} traces, {spans} spans"
            )
        return "\n".join(lines)

    def told(self, what: str, trace: KeptTrace) -> str:
        """A line about a trace that leaves."""
        letter = chr(trace.trace_id[0])
        return f"{self.clock()} {what} {letter}: {trace.spans} spans"

    def clock(self) -> str:
        """The time since the start."""
        return f"[{self.seconds(self.now_ns)}]"

    @staticmethod
    def seconds(duration_ns: int) -> str:
        """Tenths of a second."""
        return f"{duration_ns / SECOND_NS:.1f}s"


@pytest.mark.parametrize("path", sorted(TESTDATA.glob("*.txt")), ids=lambda p: p.stem)
def test_lifetimes(path: Path) -> None:
    """What happens to traces is what the transcript says."""
    transcript.check(path, Theatre().run)
