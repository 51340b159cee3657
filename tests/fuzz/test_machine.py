"""Hypothesis finds no story that breaks a property."""

import os

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fuzz.machine import ClusterMachine

STEPS = 60
EXAMPLES = {"dev": 40, "ci": 170, "nightly": 33_000}  # ci: 10,000 steps; nightly: 2,000,000
PHASES = [phase for phase in Phase if phase is not Phase.explain]  # which is slow, and is a trace


def test_no_story_breaks_a_property() -> None:
    """S4, S5, S13, E4, B3, C3, W4."""
    profile = os.environ.get("HYPOTHESIS_PROFILE", "dev")

    run_state_machine_as_test(
        ClusterMachine,
        settings=settings(
            max_examples=EXAMPLES.get(profile, 40), stateful_step_count=STEPS, phases=PHASES
        ),
    )
