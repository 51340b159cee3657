"""What the simulator finds."""


class Violation(Exception):  # noqa: N818 - a finding, not an error of ours
    """A property does not hold."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
