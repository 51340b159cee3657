"""The WebSocket of the feed: its frames, and what is not a request."""

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.gateway.http.websocket import MESSAGE_SIZE
from tests.exchange.gateway.house import House
from tests.exchange.gateway.sockets import a_socket

SECONDS = 20.0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed_request"),
        ("[]", "malformed_request"),
        ('{"type":"order.create","value":{}}', "malformed_request"),
        ('{"type":"order.create","value":{"channels":["book"]}}', "unknown_verb"),
        ('{"type":"feed.subscribe","value":{"channels":["gossip"]}}', "malformed_request"),
        ('{"type":"feed.subscribe","value":{"channels":["book"]}}', "missing_field"),
        ('{"type":"feed.subscribe","value":{"channels":["orders"]}}', "unauthorized"),
        ('{"type":"feed.subscribe","value":{"channels":["orders"]},"auth":"x"}', "unauthorized"),
        (
            '{"type":"feed.subscribe","value":{"channels":["trades"],"symbols":["AAPL"],'
            '"cursor":"%%"}}',
            "invalid_value",
        ),
        ("[" * 50_000, "malformed_request"),
        ('{"type":"feed.subscribe","value":{"channels":' + '["book",' * 5_000, "malformed_request"),
    ],
)
async def test_bad_request_is_answered_and_the_connection_goes_on(
    house: House, text: str, code: str
) -> None:
    """Faults 3: hostile input over WebSocket."""
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as socket:
            await socket.send(text)
            refused = await socket.answer()
            fine = await socket.ask("feed.subscribe", channels=["heartbeat"])

    assert (refused["type"], refused["value"]["code"]) == ("error", code)
    assert fine["type"] == "ok"


@pytest.mark.parametrize("request_id", [7, "a", 1.5, True])
async def test_error_has_the_id_of_its_request(house: House, request_id: object) -> None:
    """Interfaces section 1: any scalar is echoed, whatever else is wrong."""
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as socket:
            bad = {"id": request_id, "type": "feed.subscribe", "value": {"channels": ["gossip"]}}
            await socket.send(msgspec.json.encode(bad))
            refused = await socket.answer()

    assert (refused["id"], refused["type"]) == (request_id, "error")


async def test_message_without_bound_ends_the_connection(house: House) -> None:
    """Faults 3: the limit comes before decoding."""
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as socket:
            await socket.send("x" * (MESSAGE_SIZE + 1))
            with pytest.raises(trio.EndOfChannel):
                await socket.frame()


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=64),
            st.text(max_size=64).map(str.encode),
            st.fixed_dictionaries(
                {"type": st.sampled_from(["feed.subscribe", "feed.unsubscribe", "x"])},
                optional={
                    "id": st.one_of(st.integers(), st.text(max_size=8), st.none(), st.booleans()),
                    "auth": st.text(max_size=16),
                    "value": st.fixed_dictionaries(
                        {},
                        optional={
                            "channels": st.lists(
                                st.sampled_from(["book", "trades", "orders", "heartbeat", "x"]),
                                max_size=9,
                            ),
                            "symbols": st.lists(st.sampled_from(["AAPL", "NONE", "", "../x"])),
                            "cursor": st.one_of(st.text(max_size=32), st.none()),
                        },
                    ),
                },
            ).map(msgspec.json.encode),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_every_message_is_answered_in_the_documented_form(
    house: House, messages: list[bytes]
) -> None:
    """Issue: generated hostile input over WebSocket; no crash, no hang, no trace."""

    async def talk() -> None:
        with trio.fail_after(SECONDS):
            async with a_socket(house.address, house.context) as socket:
                for message in messages:
                    await socket.send(message.decode(errors="replace"))
                    answer = await socket.answer()
                    assert answer["type"] in ("ok", "error")
                    assert "Traceback" not in str(answer)

    trio.run(talk)
