"""An offer is on its way while its proposer dies: the decider's log says what became of it."""

import signal
from pathlib import Path

import pytest
import trio

from exchange.client.results import NodeStatus
from tests.trading.market import PATIENCE_S, open_market, peer_state

PROPOSER, DECIDER = 1, 2
PRICE = "10"


@pytest.mark.parametrize("is_decider_first", [True, False])
async def test_an_offer_on_its_way_is_never_swept_away(
    is_decider_first: bool, ram_path: Path
) -> None:
    """S4, S5, S6, faults 2.14, faults 2.2.

    The decider is paused; the offer waits in its socket, and in no log of it.  Whoever of the
    two goes on first, the decider answers the offer once, from its log if it is asked again.
    """
    async with open_market(ram_path, nodes=2) as market:
        proposer, decider = market.local.nodes
        ours, theirs = market.clients[PROPOSER][0], market.clients[DECIDER][0]
        maker = await market.place(theirs, "sell", PRICE, 5)
        async with trio.open_nursery() as nursery:
            decider.send_signal(signal.SIGSTOP)
            nursery.start_soon(market.take, ours, "buy", PRICE, 3)
            await market.until(PROPOSER, lambda status: status.offers_in_doubt == 1)
            proposer.kill()
            if is_decider_first:
                decider.send_signal(signal.SIGCONT)
                await market.until(DECIDER, _has_seen_it)
                await proposer.start()
            else:
                await proposer.start()
                assert (await market.cluster.status(PROPOSER)).offers_in_doubt == 1
                decider.send_signal(signal.SIGCONT)

        await market.quiet()
        name = market.asked[-1].request.client_order_id or ""
        taken = (await ours.order(client_order_id=name, within=PATIENCE_S)).order
        made = (await theirs.order(maker.order_id, within=PATIENCE_S)).order
        assert taken.filled_quantity == made.filled_quantity == "3"
        await market.check()


def _has_seen_it(status: NodeStatus) -> bool:
    """Tell whether the decider has read the offer, or thrown it away with a link it mistrusts."""
    return status.acceptances == 1 or peer_state(status, PROPOSER) == "suspected"
