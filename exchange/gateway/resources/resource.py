"""What a resource is: a line in a table, from which routes and the OpenAPI document are made."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec

from exchange.client.connection import Repeat, Request
from exchange.client.link import Answer
from exchange.coordinator.keys import owner_of
from exchange.domain.units import AccountId, node_of, parse_id
from exchange.gateway.http.messages import Reply
from exchange.gateway.http.problems import ProblemError, refuse
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources.refusals import of_validation
from exchange.gateway.resources.schema import NoQuery, Query

PARAMETERS_MAX = 16
Access = Literal["public", "read", "trade", "operator"]
Parsed = TypeVar("Parsed")


class Call(msgspec.Struct, frozen=True):
    """A request as a handler sees it."""

    nodes: Nodes
    key: str  # empty if there is none
    path: dict[str, str]
    query: Any  # of the resource's query type
    body: bytes  # on one line
    idempotency_key: str | None = None

    @property
    def account(self) -> AccountId:
        """Return the account that the key names; 401 if it names none."""
        owner = owner_of(self.key)
        if owner is None:
            detail = "send `Authorization: Bearer <key>`, the key of an account"
            raise refuse(401, "unauthorized", detail)
        return owner

    async def ask(
        self, verb: str, value: object, *, repeat: Repeat = Repeat.READ, user_id: str | None = None
    ) -> Answer:
        """Ask the node of the key's account, or of another account (operators)."""
        node_id = await self.node_id(user_id)
        return await self.nodes.ask(node_id, Request(verb, value, repeat, auth=self.key))

    async def node_id(self, user_id: str | None = None) -> int:
        """Return the node of an account; 401 for one that cannot be."""
        if user_id is None:
            account = self.account
        else:
            named = parse_id(user_id)
            account = AccountId(named or 0)
        node_id = node_of(account)
        if not await self.nodes.is_known(node_id):
            if user_id is not None:
                raise refuse(404, "unknown_account", "there is no such account", "/user_id")
            raise refuse(401, "unauthorized", "the key is not one of this exchange")
        return node_id

    def decode(self, kind: type[Parsed]) -> Parsed:
        """Read the body; 400 if it is not what it should be."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProblemError(of_validation(error, kind)) from error


Handler = Callable[[Call], Awaitable[Reply]]


class Resource(msgspec.Struct, frozen=True):
    """One method of one path."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str  # below /v1
    handler: Handler
    summary: str
    answer: Any  # a struct, several, dict for any object, None for what is not JSON
    access: Access = "public"
    query: type[Query] = NoQuery
    body: Any = None  # a struct, or several
    status: int = 200
    also: tuple[int, ...] = ()  # other statuses of the same answer
    problems: tuple[int, ...] = ()  # beside those that any request may meet
    is_at_root: bool = False  # also without /v1
    price: int = 1  # see `exchange.gateway.http.limits`
    is_cancel: bool = False
    is_idempotent_by_key: bool = False  # honours an Idempotency-Key


def value_reply(answer: Answer, *, status: int = 200) -> Reply:
    """Hand on what a node answered, as it came."""
    return Reply(bytes(answer.value), status)


def decode_query(text: bytes, kind: type[Parsed]) -> Parsed:
    """Read query parameters; 400 if one is not known, given twice or not what it should be."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError as error:
        raise refuse(400, "invalid_value", "the query is not well-formed") from error
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise refuse(400, "invalid_value", "a query parameter is given twice")
    if not all(value.isprintable() for _, value in pairs):
        raise refuse(400, "invalid_value", "a query parameter has characters that do not print")
    if any(value == "null" for _, value in pairs):  # it would be read as none at all
        raise refuse(400, "invalid_value", "leave a query parameter out instead of null")
    try:
        return msgspec.convert(dict(pairs), kind, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise ProblemError(of_validation(error, kind)) from error
