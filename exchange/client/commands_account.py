"""`exchange account`: open, show, list, deposit, withdraw, close."""

import shlex
from typing import TYPE_CHECKING

import click

from exchange.client import output
from exchange.client.session import Session, saved, with_session
from exchange.client.settings import forget, known_accounts
from exchange.client.subcommands import Subcommands

if TYPE_CHECKING:
    from exchange.client.cluster import Cluster

KEY = "unique for the account for ever: sent again with the same terms, it moves nothing more"
BALANCE = ("asset", "available", "held")
KNOWN = ("user_id", "node", "has_key", "is_current")


@click.group(
    cls=Subcommands,
    epilog="""\b
Examples:
  exchange account open
  exchange account show -o json
""",
)
def account() -> None:
    """Open an account, look at it, fund it, close it."""


@account.command(
    "open",
    epilog="""\b
Examples:
  exchange account open
  EXCHANGE_DATA_DIR=./data exchange account open -o json
""",
)
@with_session(is_account=False)
def open_(session: Session) -> None:
    """Open an account, and remember it: the next commands need no id and no key.

    With authentication on this is an operator's power; the operator key lies in the server's
    data directory (EXCHANGE_DATA_DIR).
    """
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        name, path = await cluster.name(), session.settings.accounts
        known_accounts(path, name)  # if it cannot be read say so before there is a key to lose
        opened = await cluster.open_account()
        row = results.plain(opened)
        columns = ["user_id", *(["api_key"] if opened.api_key else [])]
        output.show_one(row, session.form, columns=columns)
        if saved(path, name, opened.user_id, opened.api_key):
            what = "user id and key are" if opened.api_key else "the user id is"
            output.talk(
                f"saved: {what} in {path}; commands use this account until you open another"
            )
        output.talk(f"next: {_as_now(session)}exchange account deposit USD 10000")

    session.run(work)


@account.command(
    epilog="""\b
Examples:
  exchange account show
  exchange account show --account 3-17 -o csv
""",
)
@with_session()
def show(session: Session) -> None:
    """Show the balances: available, and held by open orders."""

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        account = await client.get()
        rows = [
            {"asset": asset, "available": balance.available, "held": balance.held}
            for asset, balance in account.balances.items()
        ]
        if session.form == "json":
            row = {"user_id": account.user_id, "balances": account.balances}
            output.show_one(row, "json", columns=())
        else:
            output.show(rows, session.form, columns=BALANCE)
        output.talk(f"account {account.user_id} on node {client.credentials.node_id}")

    session.run(work)


@account.command(
    "list",
    epilog="""\b
Examples:
  exchange account list
  exchange account list -o csv
""",
)
@with_session(is_account=False)
def list_(session: Session) -> None:
    """List the accounts of this cluster whose keys are saved here.

    The one marked is used by commands that name none; it is the one opened last.
    """

    async def work(cluster: "Cluster") -> None:
        name = await cluster.name()
        known = known_accounts(session.settings.accounts, name)
        rows: list[dict[str, object]] = [
            {
                "user_id": user_id,
                "node": int(user_id.partition("-")[0]),
                "has_key": bool(key),
                "is_current": user_id == known.current,
            }
            for user_id, key in known.keys.items()
        ]
        output.show(rows, session.form, columns=KNOWN)
        what = output.counted(len(rows), "account")
        output.talk(f"{what} of cluster {name} in {session.settings.accounts}")

    session.run(work)


@account.command(
    epilog="""\b
Examples:
  exchange account deposit USD 10000
  exchange account deposit AAPL 100 --account 3-17 --key wire-4711
""",
)
@click.argument("asset")
@click.argument("quantity")
@click.option("--key", default="", metavar="TEXT", help=KEY)
@with_session()
def deposit(session: Session, asset: str, quantity: str, key: str) -> None:
    """Credit QUANTITY of an ASSET from outside: cash, or shares (an operator's power)."""
    _move(session, "deposit", asset, quantity, key)


@account.command(
    epilog="""\b
Examples:
  exchange account withdraw USD 250.50
  exchange account withdraw AAPL 10 -o json
""",
)
@click.argument("asset")
@click.argument("quantity")
@click.option("--key", default="", metavar="TEXT", help=KEY)
@with_session()
def withdraw(session: Session, asset: str, quantity: str, key: str) -> None:
    """Debit QUANTITY of an ASSET to the outside (an operator's power)."""
    _move(session, "withdraw", asset, quantity, key)


@account.command(
    epilog="""\b
Examples:
  exchange account close
  exchange account close --account 3-17
""",
)
@with_session()
def close(session: Session) -> None:
    """Close the account for good; it must be empty and without open orders."""

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        await client.close()
        user_id = client.credentials.user_id
        forget(session.settings.accounts, await cluster.name(), user_id)
        output.talk(f"account {user_id} is closed")

    session.run(work)


def _as_now(session: Session) -> str:
    """Return what has to stand before the next command if it was given for this one alone."""
    data_dir = session.settings.data_dir
    return f"EXCHANGE_DATA_DIR={shlex.quote(str(data_dir))} " if data_dir else ""


def _move(session: Session, verb: str, asset: str, quantity: str, key: str) -> None:
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        move = client.deposit if verb == "deposit" else client.withdraw
        balance = await move(asset, quantity, key=key)
        row = {"asset": asset, **results.plain(balance)}
        output.show_one(row, session.form, columns=BALANCE)
        node_id, user_id = client.credentials.node_id, client.credentials.user_id
        done = "deposited to" if verb == "deposit" else "withdrawn from"
        if balance.is_replay:
            output.talk(f"the key {key} was used before, for the same: transfer {balance.seq}")
            return
        output.talk(f"{quantity} {asset} {done} account {user_id}, durable on node {node_id}")

    session.run(work)
