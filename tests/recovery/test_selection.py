"""Records are chosen by what they are about, even if they do not name it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from exchange.domain.orders import Side
from exchange.domain.units import format_id
from recovery.selection import KINDS, Row, Selection
from tests.recovery.cluster import Cluster, account_of
from tests.recovery.logs import read_frames


def rows(path: Path, selection: Selection) -> Sequence[Row]:
    return [row for frame in read_frames(path) for row in selection.rows(frame)]


def types(path: Path, selection: Selection) -> list[str]:
    return [row.type for row in rows(path, selection)]


def test_without_a_wish_everything_is_shown(traded: Cluster) -> None:
    """Interfaces 5."""
    found = rows(traded.paths[0], Selection())

    assert [row.lsn for row in found] == list(range(1, len(found) + 1))


def test_an_account_is_followed_through_its_orders(market: Cluster) -> None:
    """Settlements name neither account nor order."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.place(account_of(2, 1), Side.BUY, 4, 101)
    market.put(account_of(2, 2), Side.BUY, 1, 50)
    market.kill_all()

    found = types(market.paths[1], Selection(account=format_id(account_of(2, 1))))
    assert found == [
        "AccountOpened",
        "Transferred",
        "Transferred",
        "OrderPlaced",
        "TradeOffered",
        "TradeSettled",
    ]
    assert types(market.paths[1], Selection(account="2-2", symbol="ACME"))[-1] == "OrderPlaced"


def test_an_order_and_a_symbol_are_followed(traded: Cluster) -> None:
    """Interfaces 5."""
    order = types(traded.paths[1], Selection(order="2-1"))

    assert order == ["OrderPlaced", "TradeOffered", "TradeSettled"]
    assert types(traded.paths[1], Selection(symbol="ACME")) == ["InstrumentListed", *order]
    assert types(traded.paths[1], Selection(symbol="NONE")) == []


def test_lsns_and_kinds_narrow_it(traded: Cluster) -> None:
    """Interfaces 5."""
    found = rows(traded.paths[1], Selection(first_lsn=3, last_lsn=9, kinds=["Transferred"]))

    assert {row.type for row in found} == {"Transferred"}
    assert all(3 <= row.lsn <= 9 for row in found)


@pytest.mark.parametrize("wish", [{"account": "3"}, {"order": "x-1"}, {"kinds": ["Nonsense"]}])
def test_what_is_no_id_or_kind_is_refused(wish: dict[str, object]) -> None:
    """Bad input."""
    with pytest.raises(ValueError, match=r"no id|no kind"):
        Selection(**wish)  # type: ignore[arg-type]


def test_every_kind_of_record_is_known() -> None:
    """The list comes from the records themselves."""
    assert {"Booted", "TradeAccepted", "HeuristicForgotten"} <= set(KINDS)
    assert "OfferId" not in KINDS
