"""What a client can ask for one account.  Which node owns it is arithmetic (C1)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from exchange.client import results
from exchange.client.connection import REQUEST_SECONDS, Connection, Repeat, Request
from exchange.client.errors import UsageError
from exchange.domain.units import AccountId, node_of, parse_id

Result = TypeVar("Result")


class Credentials(msgspec.Struct, frozen=True):
    """An account and its key; the key is empty without authentication."""

    user_id: str
    api_key: str = ""

    @property
    def node_id(self) -> int:
        """Return the node that owns the account; UsageError if the id is none."""
        packed = parse_id(self.user_id)
        if packed is None:
            raise UsageError(f'{self.user_id!r} is no user id; one looks like "3-17"')
        return node_of(AccountId(packed))

    def hello(self) -> bytes:
        """Return the first line of a connection as this user."""
        if not self.api_key:
            return msgspec.json.encode(self.user_id) + b"\n"
        return msgspec.json.encode({"user_id": self.user_id, "api_key": self.api_key}) + b"\n"


class AccountClient:
    """What one account can do."""

    def __init__(
        self,
        connection: Connection,
        credentials: Credentials,
        *,
        operator_key: str = "",
        new_client_order_id: Callable[[], str],
    ) -> None:
        self.connection = connection
        self.credentials = credentials
        self._operator_key = operator_key
        self._new_client_order_id = new_client_order_id

    async def place(
        self,
        symbol: str,
        side: str,
        *,
        price: str,
        quantity: str,
        time_in_force: str = "gtc",
        client_order_id: str | None = None,
        self_trade_prevention: str | None = None,
        is_done: bool = False,
        within: float = REQUEST_SECONDS,
        auth: str | None = None,
    ) -> results.Placed:
        """Place a limit order and wait until it is acknowledged.

        With `is_done` wait until nothing of it is in doubt.  OutcomeUnknown names the client
        order id to ask for.
        """
        name = client_order_id or self._new_client_order_id()
        value = {
            "symbol": symbol,
            "side": side,
            "time_in_force": time_in_force,
            "price": price,
            "quantity": quantity,
            "client_order_id": name,
        }
        if self_trade_prevention is not None:
            value["self_trade_prevention"] = self_trade_prevention
        wait = "done" if is_done else None
        request = Request("order.create", value, Repeat.SAFE, auth, wait, name)
        return results.placed(await self.connection.call(request, within=within))

    async def amend(
        self,
        order_id: str,
        *,
        price: str | None = None,
        quantity: str | None = None,
        within: float = REQUEST_SECONDS,
        auth: str | None = None,
    ) -> results.Placed:
        """Give an order another price, another total (filled part included), or both."""
        value = {"order_id": order_id, "price": price, "quantity": quantity}
        value = {name: text for name, text in value.items() if text is not None}
        request = Request("order.amend", value, Repeat.SAFE, auth)
        return results.placed(await self.connection.call(request, within=within))

    async def cancel(
        self,
        order_id: str = "",
        *,
        client_order_id: str = "",
        within: float = REQUEST_SECONDS,
        auth: str | None = None,
    ) -> results.Canceled:
        """Cancel an order by either id; one that is done is answered as it is."""
        value = order_name(order_id, client_order_id)
        request = Request("order.cancel", value, Repeat.SAFE, auth)
        return results.canceled(await self.connection.call(request, within=within))

    async def cancel_all(
        self, symbol: str = "", *, within: float = REQUEST_SECONDS, auth: str | None = None
    ) -> results.CanceledAll:
        """Cancel all open orders, or those of one symbol."""
        value = {"symbol": symbol} if symbol else {}
        request = Request("order.cancel_all", value, Repeat.SAFE, auth)
        return await self._ask(request, results.CanceledAll, within)

    async def order(
        self, order_id: str = "", *, client_order_id: str = "", within: float = REQUEST_SECONDS
    ) -> results.Placed:
        """Return an order by either id."""
        request = Request("order.get", order_name(order_id, client_order_id))
        return results.placed(await self.connection.call(request, within=within))

    async def orders(
        self,
        *,
        status: str | None = None,
        symbol: str | None = None,
        cursor: int | str | None = None,
        limit: int = 100,
        within: float = REQUEST_SECONDS,
    ) -> results.Orders:
        """Return a page of orders, oldest first."""
        value = {"status": status, "symbol": symbol, "cursor": cursor, "limit": limit}
        value = {name: given for name, given in value.items() if given is not None}
        return await self._ask(Request("orders.list", value), results.Orders, within)

    async def fills(
        self, *, from_seq: int = 1, limit: int = 1000, within: float = REQUEST_SECONDS
    ) -> results.Fills:
        """Return a page of fills; `seq` is gapless from 1."""
        value = {"from_seq": from_seq, "limit": limit}
        return await self._ask(Request("fills.list", value), results.Fills, within)

    async def all_fills(self) -> list[results.Fill]:
        """Return every fill of the account, page by page."""
        fills: list[results.Fill] = []
        while True:
            page = await self.fills(from_seq=len(fills) + 1)
            fills.extend(page.fills)
            if not page.fills:
                return fills

    async def get(self, *, within: float = REQUEST_SECONDS) -> results.Account:
        """Return the balances."""
        return await self._ask(Request("account.get", {}), results.Account, within)

    async def deposit(
        self, asset: str, quantity: str, *, key: str = "", within: float = REQUEST_SECONDS
    ) -> results.Moved:
        """Credit the account from outside; an operator's power.

        With a key, unique per account for ever, it happens once however often it is asked for.
        """
        return await self._move("account.deposit", asset, quantity, key, within)

    async def withdraw(
        self, asset: str, quantity: str, *, key: str = "", within: float = REQUEST_SECONDS
    ) -> results.Moved:
        """Debit the account to the outside; an operator's power.  The key is as for a deposit."""
        return await self._move("account.withdraw", asset, quantity, key, within)

    async def close(self, *, within: float = REQUEST_SECONDS) -> None:
        """Close the account; refused unless it is empty."""
        await self.connection.call(Request("account.close", {}, Repeat.SAFE), within=within)

    async def create_key(
        self, scopes: Sequence[str], *, expires_in: int | None = None
    ) -> results.NewKey:
        """Make another key for the account, with some of `read` and `trade`."""
        value: dict[str, Any] = {"scopes": list(scopes)}
        if expires_in is not None:
            value["expires_in"] = expires_in
        return await self._ask(self._about_keys("key.create", value), results.NewKey)

    async def rotate_key(self, key_id: str) -> results.NewKey:
        """Put a new key in the place of one; `main` is the account's own."""
        return await self._ask(self._about_keys("key.rotate", {"key_id": key_id}), results.NewKey)

    async def revoke_key(self, key_id: str) -> None:
        """Make a key worthless."""
        request = self._about_keys("key.revoke", {"key_id": key_id})
        await self.connection.call(request, within=REQUEST_SECONDS)

    async def keys(self) -> list[results.KeyInfo]:
        """Return what keys the account has."""
        return (await self._ask(Request("key.list", {}), results.Keys)).keys

    def _about_keys(self, verb: str, value: dict[str, Any]) -> Request:
        return Request(verb, value, Repeat.NEVER)

    def movement(self, verb: str, asset: str, quantity: str, key: str = "") -> Request:
        """Return a deposit or withdrawal as the request that the node takes."""
        value = {"user_id": self.credentials.user_id, "asset": asset, "quantity": quantity}
        if key:
            value["client_key"] = key
        repeat = Repeat.SAFE if key else Repeat.NEVER
        return Request(verb, value, repeat, auth=self._operator_key or None)

    async def _move(
        self, verb: str, asset: str, quantity: str, key: str, within: float
    ) -> results.Moved:
        return await self._ask(self.movement(verb, asset, quantity, key), results.Moved, within)

    async def _ask(
        self, request: Request, kind: type[Result], within: float = REQUEST_SECONDS
    ) -> Result:
        return results.decode(await self.connection.call(request, within=within), kind)


def order_name(order_id: str, client_order_id: str) -> dict[str, Any]:
    """Return the value that names an order; exactly one of the two is given."""
    if bool(order_id) == bool(client_order_id):
        raise UsageError("give an order id or a client order id, one of the two")
    return {"order_id": order_id} if order_id else {"client_order_id": client_order_id}
