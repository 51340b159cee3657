"""Candles of the whole market, over HTTP."""

from tests.exchange.gateway.house import House, Person


def test_candles_of_what_was_just_traded(house: House, alice: Person) -> None:
    """Interfaces section 3: from the trade tape."""
    house.list_symbol("CNDL")
    house.deposit(alice, "CNDL", "100")
    bob = house.open_account(USD="10000")
    for price in ("20", "22", "21"):
        alice.order("sell", symbol="CNDL", price=price)
        bob.order("buy", symbol="CNDL", price=price)
    candles = house.call("GET", "/v1/candles/CNDL?interval=1d").json()["candles"]
    before = house.call("GET", "/v1/candles/CNDL?from=2020-01-01&to=2020-01-02&interval=1h")

    assert sum(candle["trades"] for candle in candles) == 3
    assert {candle["high"] for candle in candles} >= {"22"}
    assert before.json() == {"candles": []}
    for bad in ("interval=2m", "from=x", "from=2026-01-02&to=2026-01-01", "from=2020-01-01"):
        assert house.call("GET", f"/v1/candles/CNDL?{bad}").status_code == 400
    assert house.call("GET", "/v1/candles/NONE").status_code == 404
