"""No input takes a whole turn: it goes on in the next ones (C4 of the examinations)."""

from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, OrderId, Symbol, Ticks, Units, make_id
from exchange.engine import inputs
from exchange.engine.effects import OrderAnswer, RemovedAnswer, Send
from exchange.engine.messages import Events
from exchange.engine.records import LocalTrade, OrderCanceled, OrderPlaced
from tests.support.engines import START_US, SYMBOL, Engines

OTHER = AccountId(make_id(1, 2))


def with_other(**config: object) -> Engines:
    """Return two nodes, with a second account at node 1."""
    engines = Engines(2, linked=True, **config)
    engines.step(1, inputs.OpenAccount(0, OTHER, b""))
    for asset in ("USD", SYMBOL):
        engines.step(1, inputs.MoveFunds(0, OTHER, asset, Units(1_000_000)))  # type: ignore[arg-type]
    return engines


def handle(engines: Engines, *items: inputs.Input) -> list[inputs.Input | None]:
    """Handle inputs of node 1 in one turn; return what is left of each."""
    machine, engine = engines.machines[1], engines.engine(1)
    engines.now_us += 1_000
    engine.begin(wall_us=START_US + engines.now_us, mono_us=engines.now_us)
    rests = []
    for item in items:
        rests.append(engine.handle(item))
        engine.check()
    step = engine.drain()
    machine.log.extend(step.records)
    engine.forced(machine.proof())
    engines.release(1, step.effects)
    return rests


def live(engines: Engines) -> list[OrderId]:
    return sorted(engines.state(1).orders)


def test_cancel_all_is_sliced_and_counts_exactly() -> None:
    """S9: it says what it removed, of what was open when it began; the rest stays."""
    engines = with_other(slice=3)
    for _ in range(8):
        engines.sell(1, 1000, 2)
    (rest,) = handle(engines, inputs.CancelAll(77, engines.account(1), None))
    left_after_one = len(live(engines))
    later = engines.sell(1, 1000, 5)

    while rest is not None:
        (rest,) = handle(engines, rest)
    engines.settle()

    assert left_after_one == 5
    assert live(engines) == [later]
    assert engines.answers[77] == RemovedAnswer(Lots(16), Lots(0), 8)
    engines.check_quiet()


def test_crash_in_the_middle_of_cancel_all_leaves_some_canceled() -> None:
    """E2: every slice is durable on its own."""
    engines = with_other(slice=3)
    for _ in range(8):
        engines.sell(1, 1000, 2)
    handle(engines, inputs.CancelAll(77, engines.account(1), None))

    engines.kill(1)
    engines.restart(1)

    assert len(live(engines)) == 5
    assert 77 not in engines.answers


def test_removal_at_a_price_is_sliced_from_the_youngest_on() -> None:
    """Interfaces 1, `D order`: the youngest orders at that price first, and exactly so much."""
    engines = with_other(slice=2)
    oldest = engines.sell(1, 1000, 2)
    for _ in range(5):
        engines.sell(1, 1000, 2)
    cancel = inputs.CancelAtPrice(
        78, engines.account(1), Symbol(SYMBOL), Side.SELL, Ticks(1000), Lots(11)
    )
    engines.step(1, cancel)

    assert engines.answers[78] == RemovedAnswer(Lots(11), Lots(0), 6)
    assert [(key, engines.state(1).orders[key].open) for key in live(engines)] == [(oldest, 1)]


def test_sweep_goes_on_over_turns_and_is_answered_when_it_is_through() -> None:
    """S2, B1: what is left of it is for what it meets next, and shown to nobody meanwhile."""
    engines = with_other(slice=3)
    makers = [engines.sell(1, 1000 + number, 1) for number in range(8)]
    sweep = engines.place(1, Side.BUY, 1010, 9, account=OTHER)
    handle(engines, sweep)
    engine = engines.engine(1)
    taker = max(live(engines))

    assert len(engines.log(1, LocalTrade)) == 3
    assert taker not in engine.soft.own.orders, "it is shown in the middle of its sweep"
    assert sweep.ticket not in engines.answers

    while engine.is_busy:
        handle(engines)
    engines.settle()
    answer = engines.answers[sweep.ticket]

    assert isinstance(answer, OrderAnswer)
    assert (answer.filled, engine.soft.own.orders[taker].open) == (8, 1)
    assert [record.maker for record in engines.log(1, LocalTrade)] == makers  # type: ignore[union-attr]
    engines.check_quiet()


def test_order_behind_a_sweep_waits_for_it_and_cancels_do_not() -> None:
    """S2: first come, first served, also where the first needs many turns."""
    engines = with_other(slice=3)
    for number in range(8):
        engines.sell(1, 1000 + number, 1)
    sweep = engines.place(1, Side.BUY, 1010, 8, account=OTHER)
    second = engines.place(1, Side.BUY, 1010, 1, account=OTHER)
    cancel = inputs.CancelOrder(79, engines.account(1), live(engines)[-1])

    _, waiting, _ = handle(engines, sweep, second, cancel)
    while waiting is not None:
        (waiting,) = handle(engines, waiting)
    engines.settle()
    first, behind = engines.answers[sweep.ticket], engines.answers[second.ticket]

    assert isinstance(first, OrderAnswer)
    assert isinstance(behind, OrderAnswer)
    assert (first.filled, behind.filled) == (7, 0)
    assert 79 in engines.answers


def test_killed_in_a_sweep_it_is_matched_on_after_the_start() -> None:
    """C6: at readiness own orders that cross are matched."""
    engines = with_other(slice=3)
    for number in range(8):
        engines.sell(1, 1000 + number, 1)
    handle(engines, engines.place(1, Side.BUY, 1010, 8, account=OTHER))

    engines.kill(1)
    engines.restart(1)

    assert len(engines.log(1, LocalTrade)) == 8
    assert live(engines) == []
    assert engines.log(1, OrderPlaced)[-1].first.is_cut  # type: ignore[union-attr]


def test_events_of_a_turn_are_cut_into_messages() -> None:
    """E6: a message fits a line, however many orders a turn touches."""
    engines = with_other(chunk=4, slice=100)
    for _ in range(10):
        engines.sell(1, 1000, 2)
    before = len(engines.effects)
    engines.step(1, inputs.CancelAll(80, engines.account(1), None))

    sent = [effect.message for _, effect in engines.effects[before:] if isinstance(effect, Send)]
    runs = [len(message.events) for message in sent if isinstance(message, Events)]
    assert runs == [4, 4, 2]
    assert len(engines.log(1, OrderCanceled)) == 10
    engines.settle()
    engines.check_quiet()


def test_long_batch_of_a_peer_goes_on_in_the_next_turn() -> None:
    """C4: a line of 16 MB of messages silences nobody."""
    engines = with_other(slice=3)
    for number in range(8):
        engines.sell(2, 1000 + number, 1)
    engines.step(1, engines.place(1, Side.BUY, 1010, 8))
    _, to, offers = engines.wire.pop(0)
    engines.step(to, offers)
    replies = next(item for _, number, item in engines.wire if number == 1)
    engines.wire = [entry for entry in engines.wire if entry[2] is not replies]

    (rest,) = handle(engines, replies)
    parts = 1
    while rest is not None:
        (rest,) = handle(engines, rest)
        parts += 1
    engines.settle()

    assert parts > 1
    engines.check_quiet()
