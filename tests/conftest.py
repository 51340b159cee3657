"""What every test shares: the Hypothesis profiles.

    dev      new random examples each time; what fails is kept and tried again
    ci       the same examples every time (the default where `CI` is set, and of `make test`)
    nightly  many more examples

No profile has a deadline: no test depends on wall time.  `HYPOTHESIS_PROFILE` chooses.
"""

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow]  # a busy machine is no reason to fail
settings.register_profile("dev", deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=_SLOW)
settings.register_profile("nightly", deadline=None, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))
