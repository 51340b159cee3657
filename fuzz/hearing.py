"""Who hears what processes report: the trace, the digest, the checkers, and the naive model.

A checker hears of a record before the model has learned it.  Only those are called that mind:
most of a run is telling them.
"""

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from exchange.domain.units import Lsn, NodeId
from exchange.engine.effects import AnswerBody
from exchange.engine.engine import Step
from exchange.engine.inputs import Input
from exchange.engine.messages import PeerMessage
from exchange.engine.records import Booted, Record
from fuzz.checkers import Checker
from fuzz.clients import Call
from fuzz.network import Link
from fuzz.process import Process

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

_encode = msgspec.msgpack.Encoder().encode


class Hearing:
    """Passes on what is reported."""

    def __init__(self, cluster: "Cluster", kinds: tuple[type[Checker], ...]) -> None:
        self._cluster = cluster
        self._digest = blake2b(digest_size=16)
        self._kinds = kinds
        self._checkers = [kind(cluster) for kind in kinds]
        self._on_record: dict[type, list[Callable[..., None]]] = {}  # by kind, as they come
        self._on_booted = self._minding("on_booted")
        self._on_death = self._minding("on_death")
        self._on_decided = self._minding("on_decided")
        self._on_sending = self._minding("on_sending")
        self._on_asked = self._minding("on_asked")
        self._on_answering = self._minding("on_answering")
        self._on_told = self._minding("on_told")
        for checker in self._checkers:
            checker.begin()

    @property
    def digest(self) -> str:
        """Return a digest of all records of all nodes in the order in which they became durable."""
        return self._digest.hexdigest()

    def booted(self, process: Process) -> None:
        """Hear that a boot epoch is forced."""
        cluster = self._cluster
        cluster.damage.booted(process)
        state = process.store.state
        scalars = state.scalars
        record = Booted(scalars.epoch, scalars.boot_id, process.machine.wall_us)
        self.durable(process.node, state.lsn, record)
        for hear in self._on_booted if not cluster.is_muted else ():
            hear(process)

    def decided(self, process: Process, step: Step) -> None:
        """Hear what was decided, before it is forced."""
        if self._cluster.is_muted:
            self._cluster.damage.check_kept_out(process)
            return
        for hear in self._on_decided:
            hear(process, step)

    def forced(self, process: Process, step: Step) -> None:
        """Hear that a frame is on the disk."""
        lsn = step.last_lsn - len(step.records)
        for place, record in enumerate(step.records, start=1):
            self.durable(process.node, Lsn(lsn + place), record)

    def durable(self, node: int, lsn: Lsn, record: Record) -> None:
        """Hear of a record that is durable."""
        cluster = self._cluster
        if cluster.is_traced:
            cluster.trace(f"n{node} lsn {lsn}: {record}")
        self._digest.update(_encode((node, lsn, record)))
        if cluster.damage.knowing:
            cluster.damage.check_record(node, record)
        for hear in self._minding_record(type(record)) if not cluster.is_muted else ():
            hear(NodeId(node), lsn, record)
        cluster.exchange.learn(NodeId(node), lsn, record)

    def sending(self, process: Process, link: Link, messages: list[PeerMessage]) -> None:
        """Hear what leaves a node for a peer."""
        cluster = self._cluster
        if cluster.is_traced:
            for message in messages:
                cluster.trace(f"n{process.node} -> n{link.other(process.node).node}  {message}")
        for hear in self._on_sending if not cluster.is_muted else ():
            hear(process, link, messages)

    def asked(self, process: Process, call: Call, item: Input) -> None:
        """Hear that a request reached a node."""
        if self._cluster.is_traced:
            self._cluster.trace(f"n{process.node} <- client {call.index}: {item}")
        for hear in self._on_asked:
            hear(process, call, item)

    def answering(self, process: Process, call: Call, body: AnswerBody) -> None:
        """Hear that an answer leaves a node."""
        if self._cluster.is_traced:
            self._cluster.trace(f"n{process.node} -> client {call.index}: {body}")
        for hear in self._on_answering if not self._cluster.is_muted else ():
            hear(process, call, body)

    def told(self, call: Call, body: AnswerBody, ticket: int) -> None:
        """Hear that a client has heard an answer."""
        self._cluster.counters["answers"] += 1
        for hear in self._on_told if not self._cluster.is_muted else ():
            hear(call, body, ticket)

    def died(self, process: Process) -> None:
        """Hear that a process has died."""
        for hear in self._on_death:
            hear(process)

    def end(self) -> None:
        """Let every checker look at the end."""
        for checker in self._checkers:
            checker.at_end()

    def _minding(self, name: str) -> list[Callable[..., None]]:
        return [getattr(self._checkers[place], name) for place in _places(self._kinds, name)]

    def _minding_record(self, kind: type) -> list[Callable[..., None]]:
        calls = self._on_record.get(kind)
        if calls is None:
            places = _places(self._kinds, "on_record", kind)
            calls = self._on_record[kind] = [self._checkers[place].on_record for place in places]
        return calls


@cache
def _places(kinds: tuple[type[Checker], ...], name: str, record: type | None = None) -> list[int]:
    """Return which checkers have a method of their own, for a kind of record if one is given."""
    return [
        place
        for place, kind in enumerate(kinds)
        if getattr(kind, name) is not getattr(Checker, name)
        and (record is None or not kind.kinds or record in kind.kinds)
    ]
