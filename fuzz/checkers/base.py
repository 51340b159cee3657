"""What must hold: one class per property.

A checker hears of records as they become durable, before the model has learned them; of what
leaves a node; of what a client asks and is told; and looks at the end, when all is healed and
quiet.  The first property that does not hold ends the run with a `Violation`.
"""

from typing import TYPE_CHECKING, ClassVar

from exchange.domain.units import NodeId
from exchange.engine.effects import AnswerBody
from exchange.engine.engine import Step
from exchange.engine.inputs import Input
from exchange.engine.messages import PeerMessage
from exchange.engine.records import Record
from fuzz.violation import Violation

if TYPE_CHECKING:
    from fuzz.clients import Call
    from fuzz.cluster import Cluster
    from fuzz.model import Exchange
    from fuzz.network import Link
    from fuzz.process import Process


class Checker:
    """Base of all: hears everything, minds nothing."""

    kinds: ClassVar[tuple[type, ...]] = ()  # of records that `on_record` minds; none: all of them

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster

    @property
    def exchange(self) -> "Exchange":
        """Return the naive model, as far as it has learned."""
        return self.cluster.exchange

    def fail(self, why: str) -> None:
        """Say that the property does not hold."""
        raise Violation(type(self).__name__, why)

    def begin(self) -> None:
        """Hear that the run begins."""

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Hear of a durable record; the model does not know it yet."""

    def on_booted(self, process: "Process") -> None:
        """Hear that a process has redone its log and forced its epoch; it runs from now on."""

    def on_death(self, process: "Process") -> None:
        """Hear that a process has died."""

    def on_decided(self, process: "Process", step: Step) -> None:
        """Hear what a turn decided; nothing of it is durable yet."""

    def on_sending(self, process: "Process", link: "Link", messages: list[PeerMessage]) -> None:
        """Hear what leaves a node for a peer."""

    def on_asked(self, process: "Process", call: "Call", item: Input) -> None:
        """Hear that a request has reached a node."""

    def on_answering(self, process: "Process", call: "Call", body: AnswerBody) -> None:
        """Hear that an answer leaves a node."""

    def on_told(self, call: "Call", body: AnswerBody, ticket: int) -> None:
        """Hear that a client has heard an answer."""

    def at_end(self) -> None:
        """Look at what is left when all is quiet."""
