"""The accounts that order flow is traded with: opened, funded, counted again afterwards.

Every account gets the same, far more than the flow can use, so that no order is refused for
funds; what must come out in the end is exactly what went in (S13).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
import trio

from exchange.client import results
from exchange.client.account import AccountClient
from exchange.client.cluster import Cluster
from exchange.client.errors import ClientError
from exchange.client.flow import Action, Aggress, Flow, Place
from exchange.client.link import Answer, Outcome
from exchange.domain.instruments import Instrument, asset_scale
from exchange.domain.orders import Side
from exchange.domain.units import AMOUNT_MAX, Asset, Symbol, Units

CASH_EACH = 10**12  # units: 10**10 dollars, holds 20,000 E-mini contracts
SHARES_EACH = 10**9  # units
LISTED_SECONDS_MAX = 10.0  # for a listing to reach every node
STATUS_SECONDS_MAX = 5.0  # less: a node that does not answer is told from one that was not told
LOOK_SECONDS = 0.02

Progress = Callable[[str, int, int], None]  # what is being done, how far, of how much


class FundingError(ClientError):
    """The accounts could not be funded."""


class Traders(msgspec.Struct):
    """The accounts of a run, by the numbers that the flow gives them."""

    cluster: Cluster
    instruments: dict[Symbol, Instrument]
    clients: list[AccountClient]
    deposited: Counter[Asset]  # units, over all accounts

    @property
    def node_ids(self) -> list[int]:
        """Return the nodes that own at least one of the accounts."""
        return sorted({client.credentials.node_id for client in self.clients})

    def decimals(self) -> dict[Asset, int]:
        """Return the decimals of every asset that is traded."""
        found: dict[Asset, int] = {}
        for instrument in self.instruments.values():
            found[instrument.base] = instrument.base_decimals
            found[instrument.quote] = instrument.quote_decimals
        return found


async def open_traders(cluster: Cluster, flow: Flow, progress: Progress) -> Traders:
    """List what is traded, open the accounts and fund them."""
    await _list_instruments(cluster, flow.instruments, progress)
    clients: list[AccountClient] = []
    for number in range(flow.accounts):
        account = await cluster.open_account()
        clients.append(cluster.account(account.user_id, account.api_key))
        progress("opening accounts", number + 1, flow.accounts)
    instruments = {instrument.symbol: instrument for instrument in flow.instruments}
    traders = Traders(cluster, instruments, clients, Counter())
    await _fund(traders, flow.actions, progress)
    return traders


async def balances(traders: Traders) -> Counter[Asset]:
    """Return the sum of all balances, available and held, in units."""
    total: Counter[Asset] = Counter()
    decimals = traders.decimals()
    for client in traders.clients:
        for name, balance in (await client.get()).balances.items():
            scale = asset_scale(decimals[Asset(name)])
            units = scale.count(balance.available, name) + scale.count(balance.held, name)
            total[Asset(name)] += units
    return total


def lost_or_made(traders: Traders, total: Counter[Asset]) -> list[str]:
    """Name every asset of which there is not exactly what was deposited (S13)."""
    decimals = traders.decimals()
    found = []
    for asset in sorted({*total, *traders.deposited}):
        difference = total[asset] - traders.deposited[asset]
        if difference:
            amount = asset_scale(decimals[asset]).text(abs(difference))
            found.append(f"{amount} {asset} {'made' if difference > 0 else 'lost'}")
    return found


async def _list_instruments(
    cluster: Cluster, instruments: Sequence[Instrument], progress: Progress
) -> None:
    listed = {instrument.symbol: instrument for instrument in await cluster.instruments()}
    for number, instrument in enumerate(instruments):
        wanted = results.Instrument(*msgspec.structs.astuple(instrument))
        if listed.get(instrument.symbol) != wanted:
            await cluster.create_instrument(wanted)
        progress("listing instruments", number + 1, len(instruments))
    count = len({*listed, *(instrument.symbol for instrument in instruments)})
    for node_id in await cluster.node_ids():
        await wait_listed(cluster, node_id, count)


async def wait_listed(cluster: Cluster, node_id: int, count: int) -> None:
    """Wait until a node has heard of all listings; FundingError, or Unreachable if it is silent."""
    heard = 0
    with trio.move_on_after(LISTED_SECONDS_MAX):
        while heard < count:
            heard = (await cluster.status(node_id, within=STATUS_SECONDS_MAX)).instruments
            await trio.sleep(LOOK_SECONDS)
        return
    raise FundingError(f"node {node_id} has heard of {heard} of {count} listings")


async def _fund(traders: Traders, actions: Sequence[Action], progress: Progress) -> None:
    """Deposit what each account may need, all of it down the pipelines at once."""
    wanted = sorted(_needed(actions, traders.instruments))
    decimals, accounts = traders.decimals(), len(traders.clients)
    quotes = {instrument.quote for instrument in traders.instruments.values()}
    refused: list[Outcome] = []
    is_done = trio.Event()
    left = len(wanted)

    def on_outcome(outcome: Outcome) -> None:
        nonlocal left
        left -= 1
        if not isinstance(outcome, Answer):
            refused.append(outcome)
        if not left:
            is_done.set()

    for client in traders.clients:
        await client.connection.connect()
    for account, asset in wanted:
        most = CASH_EACH if asset in quotes else SHARES_EACH
        units = Units(min(most, AMOUNT_MAX // (4 * accounts)))
        text = asset_scale(decimals[asset]).text(units)
        client = traders.clients[account]
        client.connection.submit(client.movement("account.deposit", asset, text), on_outcome)
        traders.deposited[asset] += units
    if wanted:
        await is_done.wait()
    progress("funding accounts", len(wanted), len(wanted))
    if refused:
        raise FundingError(f"{len(refused)} of {len(wanted)} deposits failed: {refused[0]}")


def _needed(
    actions: Iterable[Action], instruments: dict[Symbol, Instrument]
) -> set[tuple[int, Asset]]:
    """Return which account needs which asset."""
    needed: set[tuple[int, Asset]] = set()
    for action in actions:
        if isinstance(action, Place | Aggress):
            instrument = instruments[action.symbol]
            is_buy = action.side is Side.BUY
            needed.add((action.account, instrument.quote if is_buy else instrument.base))
    return needed
