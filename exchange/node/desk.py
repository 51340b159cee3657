"""What is done about each request of a client: allowed, paid for, and whose business it is.

a request                        | goes to
---------------------------------+-------------------------------------------------------
that the key does not allow      | its client: refused
beyond the budget of its account | its client: rate_limited; cancels have a budget of their own
that names an order              | the hub, to be translated right before it is handled
about the dead-man switch        | here, and the hub: it is logged
about the feed                   | the feed, between two inputs
with a long answer               | `parts`: it is gathered
that names an unlisted symbol    | the coordinator first, if its caller may list (M2)
any other                        | the hub, as an input of the engine
"""

from functools import partial

import msgspec

from exchange.domain.units import AccountId, Symbol
from exchange.engine.effects import Done, Refused
from exchange.engine.inputs import Input, PlaceOrder, SetSwitch, Ticket
from exchange.node import prices
from exchange.node.access import BAD_KEY, Access, Caller
from exchange.node.connection import Connection
from exchange.node.deadman import DeadMan
from exchange.node.feed import Feed
from exchange.node.hub import PLACE_MASK, TICKET_SHIFT, Item, Later, Tell
from exchange.node.parts import InParts
from exchange.node.sockets import Wire
from exchange.process.limits import Budget, Guard
from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe
from exchange.wire.handshake import ClientHello
from exchange.wire.requests import (
    CancelAfter,
    CancelOnDisconnect,
    CreateOrder,
    OrderAmend,
    OrderCancel,
    OrderCreate,
    Request,
)
from exchange.wire.translate import NeedsListing, Translator

NO_ACCOUNT = AccountId(0)  # of public requests
HOT: frozenset[type] = frozenset([CreateOrder, OrderCreate])
NAMES_AN_ORDER = (OrderCancel, OrderAmend)  # perhaps one placed earlier in the same read
RATE_LIMITED = Refused("rate_limited", "too many requests; try again in a second")
TOO_MANY = Refused("too_many_connections", "close some, or try again later")


class Unlisted(msgspec.Struct, frozen=True):
    """A request that names a symbol nobody has listed yet."""

    symbol: Symbol
    request: Request
    account: AccountId
    ticket: Ticket


class Gathered(msgspec.Struct, frozen=True):
    """A request whose answer is gathered in parts."""

    connection: Connection
    request: InParts
    account: AccountId
    place: int


class Desk:
    """Sees each request of the clients of one node first."""

    def __init__(
        self,
        *,
        access: Access,
        translator: Translator,
        guard: Guard,
        deadman: DeadMan,
        feed: Feed | None = None,
    ) -> None:
        self._access = access
        self._translator = translator
        self.guard = guard
        self.deadman = deadman
        self._feed = feed

    def enter(self, wire: Wire, hello: ClientHello | None) -> Caller | Refused:
        """Let a client in, whose first line is a hello or not; `leave` when it has gone."""
        caller = self._access.anyone if hello is None else self._access.admit(hello)
        if isinstance(caller, Caller) and not self.guard.enter(wire.address):
            return TOO_MANY
        return caller

    def leave(self, wire: Wire) -> None:
        """Count a client out."""
        self.guard.leave(wire.address)

    def budget(self, wire: Wire, caller: Caller) -> Budget:
        """Return what the requests of a caller are paid from."""
        if caller.account is None:
            return self.guard.of_address(wire.address)
        return self.guard.of_account(caller.account)

    def item(self, connection: Connection, request: Request) -> Item | Unlisted | Gathered:
        """Return what the hub is to do about a request; it has its place from here on."""
        ticket = connection.number << TICKET_SHIFT | connection.place(request)
        caller = self._access.speaker(request, connection.caller)
        account = caller.account or NO_ACCOUNT
        is_hot = type(request) in HOT
        if is_hot:
            refused = self._access.check_order(request, caller)  # type: ignore[arg-type]  # HOT
            if refused is None and not self._is_paid(connection, caller, 1):
                refused = RATE_LIMITED
        else:
            refused = self._access.check(request, caller)
            if refused is None and not self._is_bought(connection, caller, request):
                refused = RATE_LIMITED
            if refused is None and isinstance(request, NAMES_AN_ORDER):
                return Later(partial(self.translated, request, account, ticket))
        if refused is not None:
            address = self.guard.of_address(connection.wire.address)
            if refused is BAD_KEY and not address.take(prices.BAD_KEY):
                refused = RATE_LIMITED
            return Tell(ticket, refused)
        if not is_hot and isinstance(request, CancelAfter | CancelOnDisconnect):
            return self._watch(connection, request, account, ticket)
        if not is_hot and isinstance(request, FeedSubscribe | FeedUnsubscribe):
            key_hash = self._access.key_hash(request, caller)
            return Later(partial(self._follow, connection, request, account, key_hash, ticket))
        if not is_hot and isinstance(request, InParts):
            return Gathered(connection, request, account, ticket & PLACE_MASK)
        translated = self._translator.translate(request, account, ticket)
        if type(translated) is PlaceOrder:
            return translated
        if isinstance(translated, NeedsListing):
            if self._access.may_list(request):
                return Unlisted(translated.symbol, request, account, ticket)
            translated = self._translator.unlisted(translated.symbol)
        return Tell(ticket, translated) if isinstance(translated, Refused) else translated

    def _watch(
        self,
        connection: Connection,
        request: CancelAfter | CancelOnDisconnect,
        account: AccountId,
        ticket: Ticket,
    ) -> SetSwitch | Tell:
        """Set the dead-man switch of an account, or of a connection; the engine logs it."""
        if isinstance(request, CancelAfter):
            self.deadman.arm(account, request.value.seconds)
            return SetSwitch(ticket, account, cancel_after=request.value.seconds)
        if account != connection.caller.account:
            detail = "only for a connection whose first line names the account"
            return Tell(ticket, Refused("no_account", detail))
        is_on = request.value.enabled
        if is_on != connection.is_watched:
            connection.is_watched = is_on
            is_on = self.deadman.watch(account, is_on=is_on)
        return SetSwitch(ticket, account, is_watched=is_on)

    def _follow(
        self,
        connection: Connection,
        request: FeedSubscribe | FeedUnsubscribe,
        account: AccountId,
        key_hash: bytes,
        ticket: Ticket,
    ) -> Tell:
        """Follow topics of the feed, or no more; the hub calls this between two inputs."""
        if self._feed is None or connection.is_gone:
            return Tell(ticket, Refused("not_supported", "there is no feed here"))
        if isinstance(request, FeedSubscribe):
            refused = self._feed.subscribe(connection.number, request.value, account, key_hash)
        else:
            refused = self._feed.unsubscribe(connection.number, request.value, account)
        return Tell(ticket, refused or Done())

    def charge_malformed(self, connection: Connection) -> None:
        """Take a line that is no request out of the budget of its connection."""
        self._is_paid(connection, connection.caller, 1)

    def _is_bought(self, connection: Connection, caller: Caller, request: Request) -> bool:
        """Take the price of a request; what its answer costs besides is charged to the same."""
        price = prices.price_of(request)
        if type(request) in prices.CANCELS and caller.account is not None:
            return self.guard.of_cancels(caller.account).take(price)
        if not self._is_paid(connection, caller, price):
            return False
        if type(request) in prices.LONG:
            payer = self._payer(connection, caller)
            connection.payers[connection.last_place] = payer
        return True

    def _payer(self, connection: Connection, caller: Caller) -> Budget:
        """Return the budget of the connection, or of the account whose key a request brought."""
        if connection.budget is None or caller is not connection.caller:
            return self.budget(connection.wire, caller)
        return connection.budget

    def _is_paid(self, connection: Connection, caller: Caller, price: int) -> bool:
        """Take a price out of the budget of who asks."""
        if self._payer(connection, caller).take(price):
            return True
        self.guard.refused += 1
        is_own = caller is connection.caller  # not that of one of a gateway's users
        connection.is_over = is_own and bool(connection.wire.address)
        return False

    def translated(self, request: Request, account: AccountId, ticket: Ticket) -> Input | Tell:
        """Translate a request that needs no listing, or has had its own."""
        translated = self._translator.translate(request, account, ticket)
        if isinstance(translated, NeedsListing):
            translated = self._translator.unlisted(translated.symbol)
        return Tell(ticket, translated) if isinstance(translated, Refused) else translated
