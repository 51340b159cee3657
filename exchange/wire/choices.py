"""What a value that is none of a few may be, said with the error: a decoder tells only the place.

Invalid enum value 'HOLD' - at `$.value.side`
'HOLD' is none of buy, sell - at `$.value.side`
"""

import re
from functools import lru_cache
from typing import Any

from msgspec import inspect

NOT_BUILT = frozenset(
    (
        *("market", "stop", "stop_limit", "fok", "day", "gtd", "decrement"),
        *("pending", "partially_filled", "filled", "canceled", "expired", "rejected"),  # to list
    )
)
SHOWN_MAX = 64  # characters of the wrong value
_WRONG = re.compile(r"\AInvalid enum value (.*) - at (`\$(.*)`)\Z", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[")


def with_choices(told: str, kind: Any, *, verb: str | None = None) -> str:  # noqa: ANN401 - a type
    """Return an error of a decoder of `kind` with what may stand there instead.

    Of several kinds of requests it is about those of one verb.
    """
    wrong = _WRONG.match(told)
    if wrong is None:
        return told
    names = _choices(kind, verb, wrong[3])
    if not names:
        return told
    return f"{wrong[1][:SHOWN_MAX]} is none of {', '.join(names)} - at {wrong[2]}"


@lru_cache(maxsize=256)
def _choices(kind: Any, verb: str | None, path: str) -> tuple[str, ...]:  # noqa: ANN401 - a type
    found = _alternatives(_described(kind))
    if verb is not None:
        found = [one for one in found if isinstance(one, inspect.StructType) and one.tag == verb]
    for step in _STEP.finditer(path):
        found = [inner for one in found for inner in _inside(one, step[1])]
    values = [
        value for one in found if isinstance(one, inspect.LiteralType) for value in one.values
    ]
    return tuple(str(value) for value in values if value not in NOT_BUILT)


@lru_cache(maxsize=64)
def _described(kind: Any) -> inspect.Type:  # noqa: ANN401 - a type
    return inspect.type_info(kind)


def _inside(one: inspect.Type, name: str | None) -> list[inspect.Type]:
    """Return what a member of a struct may be; without a name, the items of a list."""
    if isinstance(one, inspect.StructType) and name is not None:
        return [
            inner
            for field in one.fields
            if field.encode_name == name
            for inner in _alternatives(field.type)
        ]
    if isinstance(one, inspect.ListType) and name is None:
        return _alternatives(one.item_type)
    return []


def _alternatives(one: inspect.Type) -> list[inspect.Type]:
    if isinstance(one, inspect.Metadata):
        return _alternatives(one.type)
    if isinstance(one, inspect.UnionType):
        return [inner for each in one.types for inner in _alternatives(each)]
    return [one]
