"""Bugs of orders, of the book and of money."""

from fuzz.planted.bug import APPLY, BOOK, COMMANDS, CORE, ENGINE, LEDGER, MATCHING, Planted

BUGS = (
    Planted(
        "cancel_intent_lost",
        "S9",
        APPLY,
        "    order.canceled = True\n",
        "    order.total = Lots(order.filled + order.offered)\n",
    ),
    Planted(
        "hold_released_twice",
        "S1",
        LEDGER,
        "    order.held = Units(order.held - paid)\n",
        "",
    ),
    Planted(
        "price_improvement_kept",
        "S1",
        LEDGER,
        "        needed += state.offers_by_taker[order.order_id].value\n    return",
        "        needed += order.price * offered\n    return",
        ("mixed", "tests/exchange/engine/test_apply.py"),
    ),
    Planted(
        "sum_of_offers_kept_at_the_old_price",
        "S1",
        APPLY,
        "        reserved.reprice(record.price)\n",
        "        reserved.price = record.price\n",
        ("tests/exchange/engine/test_state.py", "mixed"),
    ),
    Planted(
        "slice_forgets_the_rest",
        "S9",
        COMMANDS,
        "    progress = Removing(done.order_ids, stop, removed, in_doubt, orders)\n"
        "    if stop < len(done.order_ids):\n",
        "    progress = Removing(done.order_ids, stop, removed, in_doubt, orders)\n"
        "    if stop > len(done.order_ids):\n",
        ("tests/exchange/engine/test_slices.py",),
    ),
    Planted(
        "order_overtakes_a_sweep",
        "S2",
        ENGINE,
        "            return item.symbol in self._busy\n",
        "            return False\n",
        ("tests/exchange/engine/test_slices.py",),
    ),
    Planted(
        "sweep_shown_in_its_middle",
        "B1",
        CORE,
        "                event = msgspec.structs.replace(event, open=Lots(0))\n",
        "                pass\n",
        ("tests/exchange/engine/test_slices.py", "mixed"),
    ),
    Planted(
        "transfer_key_not_remembered",
        "M3",
        APPLY,
        "        state.transfer_keys.put((record.account, record.client_key), entry)\n",
        "        del entry\n",
        ("mixed", "tests/exchange/engine/test_account_commands.py"),
    ),
    Planted(
        "dead_mans_switch_not_logged",
        "S9",
        "exchange/engine/account_commands.py",
        "        decision.records.append(record)\n    return decision\n\n\ndef decide_set_balance",
        "        del record\n    return decision\n\n\ndef decide_set_balance",
        ("tests/exchange/engine/test_account_commands.py",),
    ),
    Planted(
        "cancel_on_disconnect_overtakes_orders",
        "S9",
        "exchange/node/clients.py",
        "                self._inbox.feed([cancel, over], connection.number)  # behind",
        "                self._inbox.feed([cancel, over], INSIDE)  # behind",
        ("tests/exchange/node/test_deadman.py",),
    ),
    Planted(
        "self_trade_let_through",
        "S10",
        MATCHING,
        "        if owner == own and entry.account == taker.account:\n",
        "        if owner == own and entry.order_id == taker.order_id:\n",
    ),
    Planted(
        "off_by_one_tick",
        "M1",
        BOOK,
        "    return price if side is BUY else -price\n",
        "    return price + 1 if side is BUY else -price\n",
    ),
    Planted(
        "oldest_first_reversed",
        "S2",
        BOOK,
        "            yield from level\n",
        "            yield from reversed(level)\n",
    ),
    Planted(
        "clearing_not_booked",
        "S13",
        LEDGER,
        "    clearing[rule.base] = Units(clearing.get(rule.base, 0) - sign * shares)\n",
        "",
    ),
)
