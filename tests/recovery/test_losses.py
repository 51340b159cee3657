"""What an operator has to accept is said in words (C3)."""

from recovery.knowledge import Rebuilt
from recovery.losses import what_is_lost


def test_deposits_and_local_trades_are_always_lost() -> None:
    """Issue, item 7: its deposits from nowhere."""
    lost = what_is_lost(Rebuilt("new", 1, ""))

    assert lost[0] == "deposits, withdrawals and issues: no other node knows them"
    assert lost[-1] == "its open orders: no node that runs was asked for them"


def test_a_copy_bounds_what_is_lost() -> None:
    """C3: through its last record everything is known."""
    asked = Rebuilt("new", 1, "", from_backup_lsn=70, replicas=["node 2"], replicas_lsn=90)
    stale = Rebuilt("new", 1, "", from_backup_lsn=70, replicas=["node 2"], replicas_lsn=60)

    assert all("after LSN 70" in line for line in what_is_lost(asked))
    assert what_is_lost(stale)[-1] == "its open orders: replicas show it as at LSN 60"


def test_one_of_a_thing_is_not_many() -> None:
    """Issue, item 8: written for people."""
    one = Rebuilt(
        "new",
        1,
        "",
        replicas=["node 2"],
        opened=["1-1"],
        restored=["1-2"],
        suspense=["2-3"],
        declined_now=["2-4"],
        canceled=["1-5"],
    )
    told = " ".join(what_is_lost(one))

    for words in ("1 account that", "1 order restored", "1 trade in", "1 offer:", "1 order:"):
        assert words in told


def test_a_copy_knows_old_keys_only() -> None:
    """Issue, item 7: who was shut out since is let in again, and must be shut out again."""
    copied = Rebuilt("new", 1, "", from_backup_lsn=70)

    assert any("keys after LSN 70" in line for line in what_is_lost(copied))
    assert not any("done to keys" in line for line in what_is_lost(Rebuilt("new", 1, "")))


def test_nodes_whose_logs_were_not_given_are_named() -> None:
    """S13: both halves of a trade agree, or it is said where they do not."""
    lost = what_is_lost(Rebuilt("new", 1, "", absent=[3, 4]))

    assert any(line.startswith("trades with node 3, node 4:") for line in lost)
