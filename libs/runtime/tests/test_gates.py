"""Feature gates: which are on, and what is wrong with a text."""

from __future__ import annotations

import pytest

from tailring_runtime.config import FeatureGate, switch
from tailring_runtime.config.gates import UPSTREAM_GATES, gates_of

OURS = FeatureGate("processor.tailsamplingprocessor.recordpolicy", "Ours.")
BETA = FeatureGate("ours.beta", "On by default.", "beta")
GATES = gates_of((OURS, BETA))


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("", False),
        (OURS.name, True),
        (f"+{OURS.name}", True),
        (f"-{OURS.name}", False),
        (f"+{OURS.name},-{OURS.name}", False),
        (f"-{OURS.name}, +{OURS.name}", True),
    ],
)
def test_the_last_word_on_a_gate_wins(text: str, on: bool) -> None:
    """A bare name and + switch on, - switches off, and the last one counts."""
    found = switch(text, GATES)
    assert found.problems == ()
    assert (OURS.name in found.on) is on


def test_a_beta_gate_is_on_until_it_is_switched_off() -> None:
    """What is on by default stays on beside others and goes off by its name."""
    assert BETA.name in switch(OURS.name, GATES).on
    assert BETA.name not in switch(f"-{BETA.name}", GATES).on


def test_every_problem_is_told_at_once() -> None:
    """Unknown names get the nearest one, a missing name and a stable gate are told."""
    text = "recordpolicy,+ours.betta,,-ottl.PanicDuplicateName,+zzz"
    assert switch(text, GATES).problems == (
        f'no such feature gate "recordpolicy"; did you mean {OURS.name}?',
        'no such feature gate "ours.betta"; did you mean ours.beta?',
        "a name is missing: write +NAME or -NAME, separated by commas",
        'feature gate "ottl.PanicDuplicateName" is stable and cannot be switched off',
        "no such feature gate \"zzz\"; known are those of 'featuregate'",
    )


@pytest.mark.parametrize("gate", UPSTREAM_GATES, ids=lambda gate: gate.name)
def test_what_is_not_built_stays_as_it_is(gate: FeatureGate) -> None:
    """A gate of upstream's may be set to its default and to nothing else."""
    same, other = ("+", "-") if gate.on else ("-", "+")
    assert switch(same + gate.name, UPSTREAM_GATES).problems == ()
    (problem,) = switch(other + gate.name, UPSTREAM_GATES).problems
    assert gate.name in problem
