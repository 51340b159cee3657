"""Bugs of what a peer may say: each lets a lie through (B7)."""

from fuzz.planted.bug import ENGINE, Planted

BOUNDS = "exchange/engine/bounds.py"
TEST = ("tests/exchange/engine/test_bounds.py",)

BUGS = (
    Planted(
        "batch_logged_before_it_is_checked",
        "B7",
        ENGINE,
        "                self._break_with(link, str(fault))\n                return None\n",
        "                self._break_with(link, str(fault))\n",
        TEST,
    ),
    Planted(
        "listing_of_a_peer_not_checked",
        "B7",
        BOUNDS,
        "                    check_instrument(instrument)\n",
        "                    pass\n",
        TEST,
    ),
    Planted(
        "listing_of_a_peer_believed",
        "B7",
        ENGINE,
        "            link.told_listings[instrument.symbol] = instrument\n",
        "            self._on_list(inputs.ListInstrument(0, instrument))\n",
        TEST,
    ),
    Planted(
        "watermark_of_a_peer_not_bounded",
        "B7",
        ENGINE,
        "            bounds.check_watermark(self.state.peer(link.peer), below)\n",
        "",
        TEST,
    ),
    Planted(
        "offer_number_not_bounded",
        "B7",
        BOUNDS,
        "            _check_number(peer, message.offer_id)\n",
        "            pass\n",
        TEST,
    ),
    Planted(
        "epoch_of_a_hello_not_bounded",
        "B7",
        BOUNDS,
        "            if message.epoch > peer.epoch + EPOCHS_AHEAD:\n",
        "            if message.epoch < 0:\n",
        TEST,
    ),
    Planted(
        "broken_line_forgotten",
        "B7",
        ENGINE,
        "        self._break_with(self._link(item.peer), item.reason)\n",
        "        self._fault(self._link(item.peer), item.reason)\n",
        TEST,
    ),
)
