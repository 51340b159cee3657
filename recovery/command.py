"""`exchange-recover`: the tool for the worst night of the year.

Reading verbs never write, take no lock, and work beside a running node and on hostile files.
Exit codes: 0 clean, 1 failed, 2 usage, 4 damaged, 5 directory in use, 6 in doubt.
"""

import os
import sys

import click

from exchange import __version__
from exchange.store.frames import FORMAT_VERSION
from recovery import data_verbs, reading_verbs, writing_verbs
from recovery.terminal import EXIT_INTERRUPTED, Verbs


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"%(prog)s %(version)s (store format {FORMAT_VERSION})")
def cli() -> None:
    """Look into the data directories of an exchange, and repair them.

    \b
    Examples:
      exchange-recover inspect /var/lib/exchange/node1
      exchange-recover verify node1 node2 node3 -o json
    """  # noqa: D301 - click's marker for text that is not wrapped


for verb in (*reading_verbs.VERBS, *writing_verbs.VERBS, *data_verbs.VERBS):
    cli.add_command(verb)


def main() -> None:
    """Run the command; what goes wrong ends in an exit code, never in a traceback."""
    try:
        cli(prog_name="exchange-recover")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
