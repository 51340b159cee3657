"""Groups of commands name the nearest one on a typo."""

import click
import pytest

from exchange.client.subcommands import Subcommands, suggest


@pytest.mark.parametrize(
    ("typed", "told"), [("by", "Did you mean buy?"), ("zzz", "There are: buy, sell.")]
)
def test_nearest_name_is_told(typed: str, told: str) -> None:
    """Interfaces 4: suggestions on typos."""
    context = click.Context(Subcommands())

    with pytest.raises(click.UsageError, match=told.replace("?", r"\?")):
        suggest(context, [typed], ["buy", "sell"])


@pytest.mark.parametrize("arguments", [[], ["buy"], ["--help"]])
def test_what_is_no_typo_passes(arguments: list[str]) -> None:
    """Options and known names are somebody else's business."""
    suggest(click.Context(Subcommands()), arguments, ["buy", "sell"])
