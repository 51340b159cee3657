"""Hypothesis drives the cluster: it looks for the shortest story that breaks a property.

Rules do what the plan of a run does, one at a time; all checkers listen; the end heals
everything and demands quiescence.  Hypothesis is pulled towards many offers in doubt.  A
failure is printed as a short script of steps.
"""

from hypothesis import strategies as st
from hypothesis import target
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
)

from fuzz.clients import Call
from fuzz.disk import Failure
from fuzz.plan import DAY, MS, SECOND, Flip, Full, Jump, Pause, Plan
from fuzz.script import Script, calm

NODES = st.integers(1, 3)
PAIRS = st.sampled_from([(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)])
PRICES = st.integers(99, 101)
QUANTITIES = st.integers(1, 9)
DOWN_MS = st.sampled_from([10, 300, 4_000])
KINDS = ("cancel", "amend", "again", "get")
CHARACTERS = st.builds(
    calm,
    seed=st.integers(0, 2**16),
    nodes=st.just(3),
    ring=st.sampled_from([3, 4096]),
    chunk=st.sampled_from([1, 500]),
    checkpoint_entries=st.sampled_from([4, 40, 3_000]),
    cached_accounts=st.sampled_from([0, 50_000]),
    delay_us=st.sampled_from([MS, 50 * MS]),
    force_us=st.sampled_from([MS, 50 * MS]),
    late=st.sampled_from([0.0, 0.9]),
    duplicate=st.sampled_from([0.0, 0.5]),
    haunt=st.sampled_from([0.0, 0.5]),
    notice=st.sampled_from([0.3, 1.0]),
    keep=st.sampled_from([-1.0, 0.5, 0.9]),
    is_early_applied=st.booleans(),
)


class ClusterMachine(RuleBasedStateMachine):
    """Three nodes, and whatever may happen to them."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.script: Script
        self.doubts_max = 0

    @initialize(plan=CHARACTERS)
    def begin(self, plan: Plan) -> None:
        """Start three nodes."""
        self.script = Script(plan)
        self.cluster = self.script.cluster

    @rule(
        target=orders,
        node=NODES,
        account=st.integers(0, 1),
        is_buy=st.booleans(),
        price=PRICES,
        quantity=QUANTITIES,
        is_ioc=st.booleans(),
    )
    def place(
        self, node: int, account: int, is_buy: bool, price: int, quantity: int, is_ioc: bool
    ) -> Call:
        """Place an order."""
        return self.script.do(
            "place",
            node,
            account,
            is_buy=is_buy,
            price=price,
            quantity=quantity,
            is_ioc=is_ioc,
        )

    @rule(target=orders, price=PRICES, quantity=QUANTITIES)
    def cross(self, price: int, quantity: int) -> "object":
        """Let two nodes meet: two orders that cross at once."""
        sell = self.script.sell(1, quantity, price)
        buy = self.script.buy(2, quantity, price)
        return multiple(sell, buy)

    @rule(call=orders, kind=st.sampled_from(KINDS), price=PRICES, quantity=QUANTITIES)
    def follow_up(self, call: Call, kind: str, price: int, quantity: int) -> None:
        """Cancel, amend, retry or ask for an order."""
        operation = call.operation
        self.script.do(
            kind,
            operation.node,
            operation.account,
            target=call.index,
            price=price,
            quantity=quantity,
        )

    @rule(node=NODES, account=st.integers(0, 1), hundreds=st.integers(-5, 5).filter(bool))
    def move_funds(self, node: int, account: int, hundreds: int) -> None:
        """Deposit or withdraw."""
        self.script.do("move", node, account, is_buy=True, amount=hundreds * 100)

    @rule(node=NODES)
    def open_account(self, node: int) -> None:
        """Open one more account."""
        self.script.do("open", node)

    @rule(duration_ms=st.sampled_from([1, 20, 300, 4_000]))
    def advance(self, duration_ms: int) -> None:
        """Let time pass."""
        self.script.run_ms(duration_ms)
        doubts = sum(len(node.doubt) for node in self.cluster.exchange.nodes.values())
        self.doubts_max = max(self.doubts_max, doubts)

    @rule(node=NODES, down_ms=DOWN_MS)
    def kill(self, node: int, down_ms: int) -> None:
        """Kill a node now; it comes back."""
        self.script.kill(node, down_ms=down_ms)

    @rule(node=NODES, fate=st.sampled_from(["force_lost", "force_kept"]), k=st.integers(0, 4))
    def kill_at_kth_force(self, node: int, fate: str, k: int) -> None:
        """Kill a node at its k-th force from now."""
        self._arm(node, fate, k)

    @rule(node=NODES, point=st.sampled_from(["forced_unsent", "half_sent"]))
    def kill_between_force_and_send(self, node: int, point: str) -> None:
        """Kill a node when something is durable, and nobody knows."""
        self._arm(node, point, 0)

    @rule(node=NODES, point=st.sampled_from(["frame_redone", "epoch_forced_nobody_told"]))
    def kill_during_redo(self, node: int, point: str) -> None:
        """Kill a node, and kill it again while it starts."""
        self.cluster.machines[node].armed_boot = point
        self.script.kill(node, down_ms=10)

    @rule(pair=PAIRS, duration_ms=st.sampled_from([100, 5_000]))
    def partition_one_way(self, pair: tuple[int, int], duration_ms: int) -> None:
        """Let nothing pass in one direction."""
        self.script.cut(*pair, duration_ms=duration_ms, is_both=False)

    @rule(pair=PAIRS)
    def break_link(self, pair: tuple[int, int]) -> None:
        """Break a link with bytes in flight."""
        self.cluster.network.reset(*pair)

    @rule()
    def heal_network(self) -> None:
        """End all partitions."""
        self.cluster.network.unblock()

    @rule(pair=PAIRS, wait_ms=st.sampled_from([100, 3_000]))
    def deliver_again_later(self, pair: tuple[int, int], wait_ms: int) -> None:
        """Deliver the next message once more, past whatever happens until then."""
        self.cluster.network.echo(*pair, wait_ms * MS)

    @rule(node=NODES, by_us=st.sampled_from([-DAY, -20 * SECOND, SECOND, 70 * SECOND, DAY]))
    def jump_clock(self, node: int, by_us: int) -> None:
        """Set a wall clock."""
        self.cluster.inject(Jump(0, node, by_us, 0))

    @rule(node=NODES, duration_ms=st.sampled_from([100, 4_000]), is_unnoticed=st.booleans())
    def pause(self, node: int, duration_ms: int, is_unnoticed: bool) -> None:
        """Stop a process for a while."""
        self.cluster.inject(Pause(0, node, duration_ms * MS, is_unnoticed))

    @rule(node=NODES, duration_ms=st.sampled_from([100, 4_000]))
    def fill_disk(self, node: int, duration_ms: int) -> None:
        """Report a full store for a while."""
        self.cluster.inject(Full(0, node, duration_ms * MS))

    @rule(node=NODES, failure=st.sampled_from(list(Failure)))
    def fail_force(self, node: int, failure: Failure) -> None:
        """Fail the next force."""
        self.cluster.machines[node].disk.failure = failure

    @rule(node=NODES, place=st.integers(0, 2**16), bit=st.integers(0, 2**12))
    def flip_bit(self, node: int, place: int, bit: int) -> None:
        """Kill a node and change one bit on its disk, until somebody repairs it."""
        self.cluster.inject(Flip(0, node, place, bit, 300 * MS))

    @rule(node=NODES)
    def back_up(self, node: int) -> None:
        """Copy a disk."""
        if not self.cluster.machines[node].is_rotten:
            self.script.back_up(node)

    @precondition(lambda self: self.script.has_backup)
    @rule(boots=st.integers(0, 3))
    def restore_old_backup(self, boots: int) -> None:
        """Bring the last copy to life; from then on only what keeps it out is checked."""
        self.script.restore_last(boots=boots)

    def teardown(self) -> None:
        """Heal everything, wait until it is quiet, and let every checker look."""
        if hasattr(self, "script"):
            self.script.finish()
            target(float(self.doubts_max), label="offers in doubt at once")

    def _arm(self, node: int, point: str, forces: int) -> None:
        process = self.cluster.machines[node].process
        if process is not None:
            process.armed, process.armed_after = point, forces
