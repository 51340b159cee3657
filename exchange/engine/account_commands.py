"""Accounts, funds and instruments: what clients, operators and the coordinator ask, decided.

Nothing here changes state.  Money enters and leaves only against `external` (M3).
"""

from exchange.domain.instruments import asset_scale
from exchange.domain.orders import Account
from exchange.domain.units import AMOUNT_MAX, AccountId, Asset, Seq, Units
from exchange.engine.decision import Decision, answered
from exchange.engine.effects import BalanceAnswer, Done, Refused
from exchange.engine.inputs import (
    CloseAccount,
    ListInstrument,
    MoveFunds,
    OpenAccount,
    SetBalance,
    SetSwitch,
    Ticket,
)
from exchange.engine.records import (
    AccountClosed,
    AccountOpened,
    InstrumentListed,
    SwitchSet,
    Transferred,
)
from exchange.engine.soft import Soft
from exchange.engine.state import TransferKey

UNKNOWN_ACCOUNT = Refused("unknown_account", "no open account of this node has this id")
STORAGE_FULL = Refused(
    "storage_full", "the node's log is nearly full; cancels and settlements go on, orders do not"
)


def decide_open_account(soft: Soft, item: OpenAccount) -> Decision:
    """Open an account that the coordinator has numbered (C1); asking twice does nothing."""
    known = soft.state.accounts.find(item.account)
    if known is not None:
        refused = Refused("unknown_account", "the account was closed; its id is not used again")
        return answered(item.ticket, refused if known.is_closed else Done())
    if soft.is_storage_full:
        return answered(item.ticket, STORAGE_FULL)
    decision = answered(item.ticket, Done())
    decision.records.append(AccountOpened(item.account, item.key_hash, soft.wall))
    return decision


def decide_close_account(soft: Soft, item: CloseAccount) -> Decision:
    """Close an account that holds nothing and has nothing open."""
    account = open_account(soft, item.account)
    if account is None:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    has_funds = any(account.available.values()) or any(account.held.values())
    if has_funds or item.account in soft.state.open_by_account:
        detail = "withdraw the balances and cancel the orders first"
        return answered(item.ticket, Refused("not_empty", detail))
    decision = answered(item.ticket, Done())
    decision.records.append(AccountClosed(item.account, soft.wall))
    return decision


def decide_move_funds(soft: Soft, item: MoveFunds) -> Decision:
    """Deposit, issue or withdraw against `external` (M3)."""
    if item.client_key:
        known = soft.state.transfer_keys.find((item.account, item.client_key))
        if known is not None:
            return answered(item.ticket, _first_answer(soft, item, known))
    key = item.client_key
    return _move(soft, item.ticket, item.account, item.asset, item.amount, client_key=key)


def _first_answer(soft: Soft, item: MoveFunds, known: TransferKey) -> BalanceAnswer | Refused:
    """Answer a retry as the first was answered, or refuse what is not one."""
    if (known.asset, known.amount) != (item.asset, item.amount):
        detail = (
            f"client key {item.client_key} was used for transfer {known.seq} of the account, "
            "with other terms; take another key for another transfer"
        )
        return Refused("duplicate_client_key", detail)
    decimals = soft.state.decimals[known.asset]
    return BalanceAnswer(known.asset, known.available, known.held, decimals, known.seq, True)


def decide_set_switch(soft: Soft, item: SetSwitch) -> Decision:
    """Set what becomes of an account's orders when it falls silent; logged, so a crash keeps it."""
    if open_account(soft, item.account) is None:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    known = soft.state.switches.get(item.account)
    after = known.cancel_after if known is not None else 0
    was_watched = known is not None and known.is_watched
    is_watched = was_watched if item.is_watched is None else item.is_watched
    decision = answered(item.ticket, Done())
    if item.cancel_after or is_watched != was_watched or (item.cancel_after == 0 and after):
        if item.cancel_after is not None:
            record = SwitchSet(item.account, item.cancel_after, is_watched, soft.wall)
        else:  # the deadline stays what it is
            ts = known.ts if known is not None else soft.wall
            record = SwitchSet(item.account, after, is_watched, ts)
        decision.records.append(record)
    return decision


def decide_set_balance(soft: Soft, item: SetBalance) -> Decision:
    """Set the available balance by a recorded deposit or withdrawal of the difference."""
    account = soft.state.accounts.find(item.account)
    if item.value < 0:
        return answered(item.ticket, Refused("insufficient_funds", "a balance is never below zero"))
    available = account.available.get(item.asset, 0) if account else 0
    return _move(soft, item.ticket, item.account, item.asset, Units(item.value - available))


def decide_list(soft: Soft, item: ListInstrument) -> Decision:
    """List an instrument; an identical listing again is fine, another one is refused (M2)."""
    wanted, state = item.instrument, soft.state
    known = state.instruments.get(wanted.symbol)
    if known is not None and known.instrument == wanted:
        return answered(item.ticket, Done())
    decimals = state.decimals
    if (
        known is not None
        or decimals.get(wanted.base, wanted.base_decimals) != wanted.base_decimals
        or decimals.get(wanted.quote, wanted.quote_decimals) != wanted.quote_decimals
    ):
        detail = f"{wanted.symbol}, or one of its assets, is listed with other terms"
        return answered(item.ticket, Refused("already_listed", detail))
    decision = answered(item.ticket, Done())
    decision.records.append(InstrumentListed(wanted, soft.wall))
    return decision


def open_account(soft: Soft, account_id: AccountId) -> Account | None:
    """Return an account that is open."""
    account = soft.state.accounts.find(account_id)
    return None if account is None or account.is_closed else account


def _move(
    soft: Soft,
    ticket: Ticket,
    owner: AccountId,
    asset: Asset,
    amount: Units,
    *,
    client_key: str = "",
) -> Decision:
    state = soft.state
    account = open_account(soft, owner)
    if account is None:
        return answered(ticket, UNKNOWN_ACCOUNT)
    if asset not in state.decimals:
        return answered(ticket, Refused("unknown_asset", f"no instrument has the asset {asset}"))
    available = account.available.get(asset, 0) + amount
    if available < 0:
        scale = asset_scale(state.decimals[asset])
        there = scale.text(account.available.get(asset, 0))
        detail = f"{scale.text(-amount)} {asset} are needed, {there} are available"
        return answered(ticket, Refused("insufficient_funds", detail))
    outside = state.scalars.external.get(asset, 0) - amount
    if abs(outside) > AMOUNT_MAX or abs(amount) > AMOUNT_MAX:
        detail = f"more than {AMOUNT_MAX} units of {asset} would be in circulation at this node"
        return answered(ticket, Refused("amount_out_of_range", detail))
    if amount > 0 and soft.is_storage_full:
        return answered(ticket, STORAGE_FULL)
    held = account.held.get(asset, Units(0))
    seq = Seq(account.transfer_seq + 1) if amount else Seq(0)
    body = BalanceAnswer(asset, Units(available), held, state.decimals[asset], seq)
    decision = answered(ticket, body)
    if amount:
        decision.records.append(Transferred(owner, asset, amount, soft.wall, client_key))
    return decision
