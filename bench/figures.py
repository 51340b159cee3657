"""A figure: what was measured, what must be reached and what is aimed at (performance.md)."""

import msgspec


class Figure(msgspec.Struct, frozen=True):
    name: str
    what: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None
    is_high_good: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say whether the figure is reached."""
        if self.must is None:
            return ""
        sign = -1 if self.is_high_good else 1
        if self.aim is not None and sign * self.value <= sign * self.aim:
            return "aim"
        return "must" if sign * self.value <= sign * self.must else "SHORT"


HEAD = ("", "figure", "measured", "must", "aim", "")


def markdown(figures: list[Figure]) -> str:
    """Write figures for `docs/performance.md`."""
    rows = [HEAD, ("---",) * len(HEAD), *map(_row, figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def table(figures: list[Figure]) -> str:
    """Write figures for people."""
    rows = [HEAD, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    )


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        figure.what,
        f"{figure.value:.4g} {figure.unit}",
        "" if figure.must is None else f"{figure.must:g}",
        "" if figure.aim is None else f"{figure.aim:g}",
        figure.verdict + (f"  ({figure.note})" if figure.note else ""),
    )
