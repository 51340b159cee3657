"""How the campaigns have Hypothesis draw: all comes from the seed, nothing is kept between runs."""

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings


def seeded(*, examples: int, phases: Sequence[Phase], steps: int = 50) -> settings:
    """Return the settings of one round; `steps` are those of a story."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=phases,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
