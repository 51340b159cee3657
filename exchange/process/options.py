"""Types of options that every program has."""

import math

import click


class Seconds(click.FloatRange):
    """A number in a range; what is no number is in none, whatever float() says."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number; a usage error if it is none."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return seconds
