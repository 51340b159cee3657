"""Many traders, each doing one thing after the other, and what they were told.

A request ends in one of three ways, and the history keeps them apart: `ok` with the answer,
`refused` with the code, `unknown` when no answer came.  An unknown outcome stays unknown.
"""

import random
from pathlib import Path

import msgspec
import trio

from exchange.client.account import AccountClient
from exchange.client.errors import OutcomeUnknown, Refused, Unreachable
from exchange.client.results import Canceled, Order, Placed

REQUEST_SECONDS = 8.0  # far beyond a suspicion: an answer that does not come by then is unknown
PASSING = {"not_ready", "draining", "storage_full"}  # nothing was done, ask again later


class Asked(msgspec.Struct):
    """One order as a trader knows it."""

    account: str
    client_order_id: str
    terms: dict[str, str]
    outcome: str = "unknown"
    first: Order | None = None  # the first answer
    last: Order | None = None  # the newest
    is_canceled: bool = False  # a cancel was answered
    filled_most: int | None = None  # ... and this is what it may still become


class Trader:
    """One account and its history."""

    def __init__(self, client: AccountClient, name: str, symbols: list[str], seed: int) -> None:
        self.client = client
        self.name = name
        self.symbols = symbols
        self.asked: list[Asked] = []
        self.counts = {"ok": 0, "refused": 0, "unknown": 0}
        self._source = random.Random(f"{seed} {name}")
        self._placed = 0

    async def run(self, is_over: trio.Event, log: "History") -> None:
        """Trade until it is over."""
        while not is_over.is_set():
            begun = trio.current_time()  # noqa: TID251 - of the history, not of a decision
            what, outcome = await self._one()
            self.counts[outcome.partition(" ")[0]] += 1
            log.write(self.name, what, outcome, begun)
            await trio.sleep(self._source.expovariate(100))

    async def _one(self) -> tuple[str, str]:
        live = [one for one in self.asked[-30:] if one.outcome == "ok" and not one.is_canceled]
        chance = self._source.random()
        if live and chance < 0.2:
            return await self._cancel(self._source.choice(live))
        if live and chance < 0.3:
            return await self._amend(self._source.choice(live))
        return await self._place()

    async def _place(self) -> tuple[str, str]:
        source = self._source
        self._placed += 1
        terms = {
            "symbol": source.choice(self.symbols),
            "side": source.choice(("buy", "sell")),
            "price": f"{source.randint(98, 102)}.00",
            "quantity": str(source.randint(1, 9)),
            "time_in_force": source.choice(("gtc", "gtc", "gtc", "ioc")),
        }
        name = f"{self.name}-{self._placed}"
        one = Asked(self.client.credentials.user_id, name, terms)
        self.asked.append(one)
        one.outcome, answer = await self._ask_place(one)
        if answer is not None:
            one.first = one.last = answer.order
        return f"place {name}", one.outcome

    async def _ask_place(self, one: Asked) -> tuple[str, Placed | None]:
        try:
            placed = await place_again(self.client, one)
        except Refused as refused:
            return f"refused {refused.code}", None
        except Unreachable:
            return "refused unreachable", None
        except OutcomeUnknown:
            return "unknown", None
        return "ok", placed

    async def _cancel(self, one: Asked) -> tuple[str, str]:
        assert one.first is not None, "an order that was answered"
        try:
            answer = await self.client.cancel(one.first.order_id, within=REQUEST_SECONDS)
        except Refused as refused:
            return f"cancel {one.client_order_id}", f"refused {refused.code}"
        except (OutcomeUnknown, Unreachable):
            return f"cancel {one.client_order_id}", "unknown"
        self._note_cancel(one, answer)
        return f"cancel {one.client_order_id}", "ok"

    def _note_cancel(self, one: Asked, answer: Canceled) -> None:
        one.is_canceled = True
        one.last = answer.order
        one.filled_most = int(answer.order.filled_quantity) + int(answer.in_doubt_quantity)

    async def _amend(self, one: Asked) -> tuple[str, str]:
        assert one.first is not None, "an order that was answered"
        price = f"{self._source.randint(98, 102)}.00"
        try:
            answer = await self.client.amend(
                one.first.order_id, price=price, within=REQUEST_SECONDS
            )
        except Refused as refused:
            return f"amend {one.client_order_id}", f"refused {refused.code}"
        except (OutcomeUnknown, Unreachable):
            return f"amend {one.client_order_id}", "unknown"
        one.last = answer.order
        return f"amend {one.client_order_id}", "ok"


async def place_again(client: AccountClient, one: Asked) -> Placed:
    """Send an order, or send it again: the client order id makes both one (faults 2.15)."""
    return await client.place(
        one.terms["symbol"],
        one.terms["side"],
        price=one.terms["price"],
        quantity=one.terms["quantity"],
        time_in_force=one.terms["time_in_force"],
        client_order_id=one.client_order_id,
        within=REQUEST_SECONDS,
    )


class History:
    """Every request with how it ended, a JSON line each."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._encode = msgspec.json.Encoder().encode
        self.count = 0

    def write(self, trader: str, what: str, outcome: str, begun: float) -> None:
        """Add a request."""
        now = trio.current_time()  # noqa: TID251 - of the history, not of a decision
        line = {"trader": trader, "what": what, "outcome": outcome, "from": begun, "to": now}
        self._file.write(self._encode(line) + b"\n")
        self.count += 1

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
