"""The account over HTTP: balances, fills, transfers; and what operators do for others."""

from typing import Any

import msgspec

from exchange.client.connection import Repeat, Request
from exchange.gateway.http.messages import Reply
from exchange.gateway.http.problems import refuse
from exchange.gateway.resources import schema
from exchange.gateway.resources.resource import Call, Resource, value_reply


async def get_account(call: Call) -> Reply:
    """Return the balances."""
    return value_reply(await _about(call, "account.get", {}))


async def open_account(call: Call) -> Reply:
    """Open an account at the node that has the fewest (operators)."""
    request = Request("account.create", {}, Repeat.NEVER, auth=_operator_key(call))
    return value_reply(await call.nodes.ask_coordinator(request), status=201)


async def close_account(call: Call) -> Reply:
    """Close the account; refused unless it is empty."""
    return value_reply(await _about(call, "account.close", {}, repeat=Repeat.SAFE))


async def list_fills(call: Call) -> Reply:
    """List fills."""
    value = {"from_seq": call.query.from_seq, "limit": call.query.limit}
    return value_reply(await call.ask("fills.list", value))


async def list_transfers(call: Call) -> Reply:
    """List deposits, issues and withdrawals."""
    value = {"from_seq": call.query.from_seq, "limit": call.query.limit}
    return value_reply(await _about(call, "transfers.list", value))


async def transfer(call: Call) -> Reply:
    """Move an asset into an account or out of it (operators)."""
    value = call.decode(dict[str, msgspec.Raw])
    wanted = call.decode(_Transfer)
    if "direction" in value:
        del value["direction"]
    verb = "account.deposit" if wanted.direction == "deposit" else "account.withdraw"
    _operator_key(call)
    key = call.idempotency_key
    if key is not None:
        if wanted.client_key not in (None, key):
            told = "the Idempotency-Key and the client_key differ"
            raise refuse(400, "invalid_value", told, "/client_key")
        value["client_key"] = msgspec.Raw(msgspec.json.encode(key))
    is_repeatable = (key or wanted.client_key) is not None
    repeat = Repeat.SAFE if is_repeatable else Repeat.NEVER
    return value_reply(
        await call.ask(verb, value, repeat=repeat, user_id=wanted.user_id), status=201
    )


class _Transfer(msgspec.Struct, frozen=True):
    """As much of a transfer as the gateway must know; the node reads the rest."""

    user_id: schema.IdText
    direction: str = "deposit"
    client_key: str | None = None

    def __post_init__(self) -> None:
        if self.direction not in ("deposit", "withdraw"):
            raise ValueError("direction is deposit or withdraw")


async def _about(
    call: Call, verb: str, value: dict[str, Any], *, repeat: Repeat = Repeat.READ
) -> Any:  # noqa: ANN401 - an Answer
    """Ask about the key's own account, or about the one that the query names."""
    user_id = getattr(call.query, "user_id", None)
    if user_id is not None:
        value = value | {"user_id": user_id}
    if not call.key:
        raise refuse(401, "unauthorized", "send `Authorization: Bearer <key>`")
    return await call.ask(verb, value, repeat=repeat, user_id=user_id)


def _operator_key(call: Call) -> str:
    if not call.key:
        raise refuse(401, "unauthorized", "send `Authorization: Bearer <operator key>`")
    return call.key


RESOURCES = [
    Resource(
        "GET",
        "/account",
        get_account,
        "Return the balances of the account.",
        schema.Account,
        access="read",
        query=schema.AccountQuery,
        problems=(404,),
    ),
    Resource(
        "POST",
        "/account",
        open_account,
        "Open an account; the key is shown this once.",
        schema.NewAccount,
        access="operator",
        status=201,
    ),
    Resource(
        "DELETE",
        "/account",
        close_account,
        "Close the account; it must be empty.",
        schema.Done,
        access="trade",
        query=schema.AccountQuery,
        problems=(404, 409),
    ),
    Resource(
        "GET",
        "/fills",
        list_fills,
        "List the fills of the account.",
        schema.Fills,
        access="read",
        query=schema.SeqQuery,
    ),
    Resource(
        "GET",
        "/transfers",
        list_transfers,
        "List what came into the account from outside, and went out.",
        schema.Transfers,
        access="read",
        query=schema.TransfersQuery,
        problems=(404,),
    ),
    Resource(
        "POST",
        "/transfers",
        transfer,
        "Deposit, issue or withdraw.",
        schema.AssetBalance,
        access="operator",
        body=schema.NewTransfer,
        status=201,
        problems=(404, 409, 422),
        is_idempotent_by_key=True,
    ),
]
