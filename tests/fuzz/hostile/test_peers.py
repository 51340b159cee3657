"""Lies of a peer end no honest node and take nothing from it; the long campaign is `--peers`."""

from fuzz.hostile.peers import campaign


def test_lying_peer_ends_no_honest_node_and_takes_nothing_from_it() -> None:
    """B7: 1,000 lies of the 100,000, each in any field of any message."""
    report = campaign(count=1_000, first_seed=1)

    assert report.findings == []
    assert report.lies >= 1_000
    assert report.kinds["peer_quarantined"] > 100, "it was found out"
