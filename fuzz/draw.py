"""Plans are drawn from a seed before the run starts, every run with its own odds."""

from random import Random
from typing import Any

import msgspec

from fuzz.disk import Failure
from fuzz.plan import (
    DAY,
    MS,
    POINTS,
    SECOND,
    Archive,
    Crash,
    Fault,
    Flip,
    Full,
    Jump,
    Operation,
    Partition,
    Pause,
    Plan,
    Reset,
    Resolve,
    Restore,
    Rot,
    Slow,
)


class Size(msgspec.Struct, frozen=True):
    """How large a run may become."""

    nodes: tuple[int, ...]
    accounts: int
    symbols: int
    operations: tuple[int, ...]
    faults: tuple[int, ...]
    busy_us: int


SIZES = {
    "tiny": Size((2,), 1, 1, (2, 3), (2,), 800 * MS),
    "small": Size((2, 2, 3), 2, 2, (10, 20), (1, 2, 4), 4 * SECOND),
    "medium": Size((2, 3, 3, 4), 3, 2, (25, 45), (0, 2, 5, 9), 10 * SECOND),
    "storm": Size((2, 3, 4), 6, 1, (150, 300), (0, 0, 2), 2 * SECOND),
    "large": Size((3, 4, 5), 4, 3, (90, 150), (3, 8, 20), 25 * SECOND),
}
MIX = ("tiny",) * 3 + ("small",) * 5 + ("medium",) * 6 + ("large",)


class Bias(msgspec.Struct, frozen=True):
    """What a run has more of than chance would give it."""

    kinds: tuple[str, ...] = ()  # faults added
    character: dict[str, Any] = {}
    skews: tuple[int, ...] = ()


_LATE = {"late": 0.9, "duplicate": 0.5, "haunt": 0.5, "redial_us": 30 * MS, "keep": 0.9}
BIASES = {
    "mixed": Bias(),
    "late": Bias(("reset",) * 6, _LATE),
    "no_sessions": Bias(("reset",) * 6, {**_LATE, "is_session_checked": False}),
    "skewed": Bias(
        ("reset", "reset", "reset", "crash"),
        {"client_us": 50, "force_us": 300, "redial_us": 30 * MS, "ack": "visible"},
        (0, -20 * SECOND, 20 * SECOND, 10_000 * DAY, -10_000 * DAY),
    ),
    "paused": Bias(("pause", "pause", "pause")),
    "slow": Bias(("slow",) * 5, {"ack": "visible", "client_us": 50}),
    "wrong_clocks": Bias(
        ("jump", "jump", "jump", "crash", "pause"), {"ack": "visible", "client_us": 50}
    ),
    "restored": Bias(("restore", "crash", "reset")),
    "lying": Bias((), {"liar": 1}),
    "rotten": Bias(("flip", "rot")),
}
KINDS = (
    "crash",
    "reset",
    "partition",
    "pause",
    "slow",
    "jump",
    "rot",
    "full",
    "archive",
    "resolve",
)


def draw_plan(seed: int, size: str | None = None, bias: str = "mixed") -> Plan:
    """Draw a run from its seed; a bias makes one kind of trouble more likely."""
    random = Random(seed)
    name = size or random.choice(MIX)
    bounds = SIZES[name]
    nodes = random.choice(bounds.nodes)
    is_tiny = name == "tiny"
    plan = Plan(
        seed=seed,
        size=name,
        nodes=nodes,
        accounts=random.randint(1, bounds.accounts),
        symbols=random.randint(1, bounds.symbols),
        cash=random.choice((1_500, 5_000, 20_000)),
        shares=random.choice((15, 60, 200)),
        ack="durable" if random.random() < 0.25 else "visible",
        visible_within_us=random.choice((0, 0, 300 * MS)),
        ring=random.choice((3, 50, 4096)),
        chunk=random.choice((1, 4, 500)),
        checkpoint_entries=random.choice((4, 12, 40, 3_000)),
        cached_accounts=random.choice((0, 1, 50_000)),
        tail=random.choice((6, 50_000, 50_000)),
        history=random.choice((0, 3, 400_000)),
        delay_us=random.choice((200, 2 * MS, 50 * MS) if is_tiny else (MS, 50 * MS, 400 * MS)),
        force_us=random.choice((300, MS, 20 * MS) if is_tiny else (MS, 20 * MS, 300 * MS)),
        turn_us=random.choice((0, 100, 5 * MS)),
        redial_us=random.choice(
            (30 * MS, 60 * MS, 200 * MS) if is_tiny else (30 * MS, 200 * MS, 800 * MS)
        ),
        client_us=random.choice((50, MS, 50 * MS)),
        patience_us=random.choice((200 * MS, 500 * MS) if is_tiny else (400 * MS, 1_500 * MS)),
        depth=random.choice((1, 1, 1, 3)),
        keep=random.choice((0.1, 0.5, 0.9)),
        late=random.choice((0.0, 0.3, 0.9)),
        duplicate=random.choice((0.0, 0.0, 0.4)),
        haunt=random.choice((0.0, 0.0, 0.4)),
        notice=random.choice((0.3, 0.8, 1.0)),
        is_early_applied=random.random() < 0.5,
        is_encoded=random.random() < 0.1,
        liar=0,
        is_session_checked=True,
        skew_us=tuple(random.choice(BIASES[bias].skews or _SKEWS) for _ in range(nodes)),
        drift_ppm=tuple(random.choice(_DRIFTS) for _ in range(nodes)),
        join_us=int(random.uniform(0.1, 0.8) * bounds.busy_us) if random.random() < 0.1 else 0,
        listed=1,
        busy_us=bounds.busy_us,
    )
    listed = plan.symbols if random.random() < 0.7 else 1
    plan = msgspec.structs.replace(plan, listed=listed, **BIASES[bias].character)
    operations = _draw_operations(random, plan, random.choice(bounds.operations))
    faults = _draw_faults(random, plan, random.choice(bounds.faults), BIASES[bias].kinds)
    return msgspec.structs.replace(plan, operations=operations, faults=faults)


_SKEWS = (0, 0, 0, 300 * MS, -300 * MS, 2 * SECOND, -9 * SECOND, DAY, -DAY, -20_000 * DAY)
_DRIFTS = (0, 0, 0, 200, -50_000, 200_000)


def _draw_operations(random: Random, plan: Plan, count: int) -> tuple[Operation, ...]:
    operations: list[Operation] = []
    low, high = random.choice(((99, 101), (97, 103), (100, 100)))
    ioc, keyed, done = (random.choice(odds) for odds in ((0, 0.15, 0.5), (0.7, 1), (0, 0.2, 0.6)))
    follow = random.choice((0.2,) if plan.size == "tiny" else (0.2, 0.5, 0.8))
    pace_us = random.choice((0.1, 0.5, 1.0)) * SECOND  # how soon people change their minds
    hot = plan.nodes if plan.size == "tiny" else random.choice((1, plan.nodes))
    for number in range(count):
        at_us = int(random.uniform(0.05, 1) * plan.busy_us)
        node = random.randint(1, hot if random.random() < 0.7 else plan.nodes)
        place = Operation(
            at_us,
            "place",
            node,
            random.randrange(plan.accounts),
            symbol=random.randrange(plan.symbols),
            is_buy=random.random() < 0.5,
            price=random.randint(low, high),
            quantity=random.randint(1, 9),
            is_ioc=random.random() < ioc,
            self_trade=random.choice((1, 1, 2, 3)),
            is_keyed=random.random() < keyed,
            is_wait_done=random.random() < done,
        )
        if plan.size == "tiny" and number < 2:
            place = _facing(place, number)
        target = len(operations)
        operations.append(place)
        while random.random() < follow:
            at_us += int(random.expovariate(1 / pace_us))
            operations.append(_follow_up(random, place, target, at_us, low, high))
    return tuple(operations)


def _facing(place: Operation, number: int) -> Operation:
    """Let the first two orders of a tiny run be of two nodes, and cross: something to settle."""
    is_buy = bool(number)
    price = 101 if is_buy else 99
    return msgspec.structs.replace(place, node=1 + number, is_buy=is_buy, price=price)


_FOLLOW_UPS = (
    *("cancel",) * 6,
    *("amend",) * 8,
    *("again",) * 3,
    *("get",) * 2,
    *("cancel_at_price",) * 2,
    "cancel_all",
    *("move",) * 2,
    "set_balance",
    "account",
    "orders",
    "fills",
    "transfers",
    "book",
    "trades",
    "status",
    "close",
    "key",
    "open",
)


def _follow_up(
    random: Random, place: Operation, target: int, at_us: int, low: int, high: int
) -> Operation:
    return msgspec.structs.replace(
        place,
        at_us=at_us,
        kind=random.choice(_FOLLOW_UPS),
        target=target,
        price=place.price if random.random() < 0.3 else random.randint(low, high),
        quantity=random.randint(1, 9),
        amount=random.choice((1, -1)) * random.randint(1, 30) * 100,
    )


def _draw_faults(
    random: Random, plan: Plan, count: int, added: tuple[str, ...]
) -> tuple[Fault, ...]:
    weights = [random.random() ** 2 for _ in KINDS]
    weights[0] += 0.5
    weights[2] += 0.2
    kinds = random.choices(KINDS, weights, k=count)
    if plan.size == "tiny":
        kinds = ["crash", random.choice(("partition", "partition", "reset"))]
    if not added and random.random() < 0.05:
        added = (random.choice(("restore", "flip")),)
    return tuple(_draw_fault(random, plan, kind) for kind in (*kinds, *added))


def _draw_fault(random: Random, plan: Plan, kind: str) -> Fault:
    at_us = int(random.uniform(0.05, 1) * plan.busy_us)
    source, target = random.sample(range(1, plan.nodes + 1), 2)
    scale = 0.15 if plan.size == "tiny" else 1.0
    duration_us = int(random.choice((10 * MS, 300 * MS, 2 * SECOND, 6 * SECOND)) * scale)
    if kind == "crash":
        many = random.random() < 0.2
        nodes = random.sample(range(1, plan.nodes + 1), random.randint(1, plan.nodes))
        point = random.choice(("now", "now", *POINTS))
        return Crash(at_us, tuple(nodes) if many else (source,), point, duration_us)
    if kind == "reset":
        return Reset(at_us, min(source, target), max(source, target))
    if kind == "partition":
        return Partition(at_us, source, target, random.random() < 0.5, duration_us)
    if kind == "pause":
        return Pause(at_us, source, duration_us, random.random() < 0.2)
    if kind == "slow":
        return Slow(at_us, source, target, random.choice((50, 500, 2500)) * MS, duration_us)
    if kind == "jump":
        by_us = random.choice((SECOND, 20 * SECOND, 70 * SECOND, DAY, 20_000 * DAY))
        lasting_us = random.choice((0, duration_us))
        return Jump(at_us, source, random.choice((-1, 1)) * by_us, lasting_us)
    if kind == "restore":
        at_us = int(random.uniform(0.3, 0.9) * plan.busy_us)
        return Restore(at_us, source, int(random.uniform(0.1, 1) * at_us), random.randint(0, 3))
    if kind == "flip":
        return Flip(at_us, source, random.getrandbits(32), random.getrandbits(20), duration_us)
    if kind == "resolve":
        return Resolve(at_us, source)
    if kind == "archive":
        return Archive(at_us, source)
    if kind == "rot":
        return Rot(at_us, source, random.choice(list(Failure)))
    return Full(at_us, source, duration_us)
