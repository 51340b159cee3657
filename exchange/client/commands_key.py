"""`exchange key`: create, rotate, revoke, list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from exchange.client import output
from exchange.client.errors import Refused
from exchange.client.session import Session, saved, with_session
from exchange.client.subcommands import Subcommands

if TYPE_CHECKING:
    from exchange.client.cluster import Cluster
    from exchange.client.results import NewKey

MAIN = "main"
NEW = ("key_id", "scopes", "expires_at", "api_key")
KEYS = ("key_id", "scopes", "expires_at")


@click.group(
    cls=Subcommands,
    epilog="""\b
Examples:
  exchange key create --scope read
  exchange key list -o json
""",
)
def key() -> None:
    """Give programs keys of their own, and take them back."""


@key.command(
    epilog="""\b
Examples:
  exchange key create --scope read
  exchange key create --scope read --scope trade --expires-in 86400
""",
)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["read", "trade"]),
    multiple=True,
    required=True,
    help="What the key may do; can be given twice.",
)
@click.option("--expires-in", type=click.IntRange(min=1), metavar="SECONDS", help="Then it ends.")
@with_session()
def create(session: Session, scopes: Sequence[str], expires_in: int | None) -> None:
    """Make another key for the account; it is shown once and stored hashed."""

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        made = await client.create_key(scopes, expires_in=expires_in)
        _show_new(session, made)

    session.run(work)


@key.command(
    epilog="""\b
Examples:
  exchange key rotate
  exchange key rotate 90f3a1c2d4e5b697 -o json
""",
)
@click.argument("key_id", default=MAIN)
@with_session()
def rotate(session: Session, key_id: str) -> None:
    """Put a new key in the place of KEY_ID; the old one opens nothing from now on.

    Without KEY_ID it is the account's own key, which these commands use.  Where that is lost or
    no longer good, the operator key makes the new one.
    """

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        try:
            made = await client.rotate_key(key_id)
        except Refused as refused:
            if refused.code != "unauthorized" or not cluster.operator_key:
                raise
            output.talk("the account's key is not good; the operator key makes a new one")
            client = await session.account(cluster, by_operator=True)
            made = await client.rotate_key(key_id)
        if made.key_id == MAIN:
            path = session.settings.accounts
            if saved(path, await cluster.name(), made.user_id, made.api_key):
                output.talk(f"saved in {path}")
        _show_new(session, made)

    session.run(work)


@key.command(
    epilog="""\b
Examples:
  exchange key revoke 90f3a1c2d4e5b697
  exchange key revoke main --account 3-17
""",
)
@click.argument("key_id")
@with_session(has_data=False)
def revoke(session: Session, key_id: str) -> None:
    """Make a key worthless, on open connections too."""

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        await client.revoke_key(key_id)
        output.talk(f"key {key_id} of account {client.credentials.user_id} is revoked")

    session.run(work)


@key.command(
    "list",
    epilog="""\b
Examples:
  exchange key list
  exchange key list --account 3-17 -o csv
""",
)
@with_session()
def list_(session: Session) -> None:
    """List the keys of the account: what they may and until when, never what they are."""
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        rows = [_row(session.form, results.plain(info)) for info in await client.keys()]
        output.show(rows, session.form, columns=KEYS)

    session.run(work)


def _show_new(session: Session, made: "NewKey") -> None:
    from exchange.client import results

    row = _row(session.form, results.plain(made))
    output.show_one(row, session.form, columns=NEW)
    output.talk("keep it: only its hash is stored")


def _row(form: str, row: dict[str, Any]) -> dict[str, Any]:
    """Write the scopes as one word where there are columns."""
    return row if form in ("json", "jsonl") else row | {"scopes": ",".join(row["scopes"])}
