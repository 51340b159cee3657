"""A group of subcommands that names the nearest one on a typo."""

import difflib
from collections.abc import Iterable

import click


class Subcommands(click.Group):
    """`exchange order`, `exchange account`, ..."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that was typed; name the nearest if there is none."""
        suggest(ctx, args, self.commands)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were written."""
        return list(self.commands)


def suggest(ctx: click.Context, args: list[str], names: Iterable[str]) -> None:
    """Fail with the nearest names if the first argument is not one of them."""
    known = list(names)
    if not args or args[0] in known or args[0].startswith("-"):
        return
    near = difflib.get_close_matches(args[0], known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
    ctx.fail(f"There is no command {args[0]!r}. {hint}")
