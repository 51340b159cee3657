"""The engine as a state machine.  Each docstring cites the rule it tests."""

import ast
import inspect

import msgspec

from exchange.domain.orders import Side, TimeInForce
from exchange.engine import commands, inputs, matching, queries, settlement
from exchange.engine.effects import Answer, OrderAnswer, Send
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.inputs import StatusQuery
from exchange.engine.messages import Offer
from exchange.engine.records import OffersForgotten, OrderPlaced, TradeOffered
from exchange.engine.state import State
from tests.support.engines import START_US, Engines, redo


def snapshot(state: State) -> bytes:
    """Encode all durable state."""
    tables = {name: sorted(map(repr, table.items())) for name, table in state.tables().items()}
    return msgspec.json.encode(tables)


def test_deciding_changes_nothing() -> None:
    """E2: decide reads; only apply changes durable state."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    soft = engines.engine(1).soft
    before = snapshot(engines.state(1))
    items = [
        engines.place(1, Side.BUY, 1000, 3),
        engines.place(1, Side.BUY, 1000, 9, time_in_force=TimeInForce.IOC),
    ]
    decisions = [commands.decide_place(soft, item) for item in items]

    assert [len(decision.records) for decision in decisions] == [2, 3]
    assert snapshot(engines.state(1)) == before
    assert commands.decide_place(soft, items[0]).records == decisions[0].records


def test_apply_reads_no_soft_state() -> None:
    """E2: redo has none."""
    import exchange.engine.apply as module

    tree = ast.parse(inspect.getsource(module))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"soft", "Soft", "Link", "links"}


def test_same_inputs_give_the_same_records_and_bytes() -> None:
    """E5: time, ids and randomness come in with the input."""
    logs = []
    for _ in range(2):
        engines = Engines(3)
        for price in range(990, 1010):
            engines.buy(1 + price % 3, price, 3)
            engines.sell(1 + (price + 1) % 3, 1999 - price, 2)
        logs.append([msgspec.msgpack.encode(engines.log(node)) for node in (1, 2, 3)])

    assert logs[0] == logs[1]


def test_every_effect_is_gated_on_all_that_was_decided_with_it() -> None:
    """E3: `last_lsn` of a step covers every record before and in it."""
    engines = Engines(2)
    engine = engines.engine(1)
    engine.begin(wall_us=START_US + engines.now_us, mono_us=engines.now_us)
    engine.handle(engines.place(1, Side.BUY, 1000, 5))
    engine.handle(inputs.Ask(77, StatusQuery()))
    step = engine.drain()

    assert step.last_lsn == len(engines.machines[1].log) + len(step.records)
    assert any(isinstance(e, Answer) and e.ticket == 77 for e in step.effects)


def test_nothing_is_told_of_what_was_not_forced() -> None:
    """E3, E4, faults 2.13: a node that dies before the force has said nothing."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    item = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, item, forced=False)

    assert item.ticket not in engines.answers
    assert not engines.messages(Offer)
    engines.settle()
    engines.restart(1)
    assert engines.log(1, TradeOffered) == []
    engines.check_quiet()


def test_later_inputs_see_what_is_decided_and_not_yet_forced() -> None:
    """E4: state moves ahead of the disk, visibility does not."""
    engines = Engines(1, linked=False)
    engines.step(1, inputs.Tick())
    engine = engines.engine(1)
    engine.begin(wall_us=START_US + engines.now_us, mono_us=engines.now_us)
    engine.handle(engines.place(1, Side.BUY, 100_000, 10))
    poor = engines.place(1, Side.BUY, 100_000, 1)
    engine.handle(poor)
    answers = {e.ticket: e.body for e in engine.drain().effects if isinstance(e, Answer)}

    body = answers[poor.ticket]
    assert isinstance(body, OrderAnswer)
    assert body.status == "rejected"


def test_work_of_a_turn_is_one_step() -> None:
    """E6: many inputs, one frame, and one run of events for each peer."""
    engines = Engines(3)
    items = [engines.place(1, Side.BUY, 900 + n, 1) for n in range(50)]
    records = engines.step(1, *items)

    assert len([r for r in records if isinstance(r, OrderPlaced)]) == 50
    sends = [e for n, e in engines.effects if n == 1 and isinstance(e, Send)]
    last_two = {send.peer for send in sends[-2:]}
    assert last_two == {2, 3}


def test_forgetting_costs_no_force_of_its_own() -> None:
    """S7: it is logged with the next real records, or at a heartbeat."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.buy(1, 1000, 5)
    assert engines.log(2, OffersForgotten) == []

    records = engines.step(2, engines.place(2, Side.SELL, 1000, 1))
    assert [type(record) for record in records] == [OrderPlaced, OffersForgotten]


def test_proofs_of_peers_travel_in_the_next_frame() -> None:
    """C3: what was seen of a peer's log is stored with our own next records."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engine = engines.engine(1)
    engine.begin(wall_us=START_US + engines.now_us, mono_us=engines.now_us)
    engine.handle(inputs.Tick())
    assert not engine.drain().seen

    engine.handle(engines.place(1, Side.BUY, 900, 1))
    assert engine.drain().seen[2].lsn == len(engines.machines[2].log)  # type: ignore[index]


def test_waiting_for_done_ends_when_nothing_is_in_doubt() -> None:
    """Interfaces 1, `wait: done`: an IOC is then final."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    item = engines.place(1, Side.BUY, 1000, 8, time_in_force=TimeInForce.IOC, wait_done=True)
    engines.order(1, item)

    answer = engines.answers[item.ticket]
    assert isinstance(answer, OrderAnswer)
    assert (answer.filled, answer.in_doubt, answer.status) == (5, 0, "canceled")


def test_waiting_for_done_ends_when_the_decider_is_suspected() -> None:
    """Interfaces 1: then `in_doubt` says how much."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    item = engines.place(1, Side.BUY, 1000, 8, wait_done=True)
    engines.step(1, item)
    assert item.ticket not in engines.answers
    engines.kill(2)
    engines.settle()

    answer = engines.answers[item.ticket]
    assert isinstance(answer, OrderAnswer)
    assert answer.in_doubt == 5


def test_nothing_is_lost_when_accounts_are_read_through() -> None:
    """E7: decide sees mappings only; what is not in memory comes from the store."""
    engines = Engines(1, linked=False)
    engines.step(1, inputs.Tick())
    state = engines.state(1)
    stored = dict(state.accounts)
    state.accounts.clear()
    state.accounts.dirty.clear()
    state.accounts.load = stored.get
    order_id = engines.buy(1, 1000, 5)

    assert engines.state(1).orders[order_id].held == 5_000


def test_one_engine_has_no_locks_and_no_tasks() -> None:
    """E1: the pure floor never awaits and never locks."""
    for module in (commands, matching, queries, settlement):
        source = inspect.getsource(module)
        assert "async def" not in source
        assert "Lock" not in source


def test_engine_starts_from_a_folded_log() -> None:
    """E2: own orders are in the book at once, replicas are not."""
    engines = Engines(2)
    mine = engines.sell(1, 1000, 5)
    engines.sell(2, 1001, 5)
    engine = Engine(redo(1, engines.machines[1].log), EngineConfig())

    assert list(engine.soft.own.orders) == [mine]
    assert all(not link.replica.orders for link in engine.soft.links.values())
