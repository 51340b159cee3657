"""Nobody's flood is in front of others."""

from exchange.node.inbox import FLOOD, SHARE, Inbox


def test_order_of_a_source_is_kept() -> None:
    """Interfaces 1: answers come in the order of the requests."""
    inbox: Inbox[int] = Inbox()
    inbox.put(1, range(2 * SHARE))
    inbox.put(1, range(2 * SHARE, 3 * SHARE))

    taken = inbox.take(SHARE + 5) + inbox.take(10 * SHARE)

    assert taken == list(range(3 * SHARE))
    assert not len(inbox)


def test_flood_is_a_share_ahead_of_others_and_no_more() -> None:
    """Issue: a flood from one key while another trades."""
    inbox: Inbox[str] = Inbox()
    for flood in (1, 2, 3):
        inbox.put(flood, ["flood"] * 5_000)
    inbox.put(4, ["mine"])

    taken = inbox.take(128)

    assert taken.index("mine") == 3 * SHARE // FLOOD
    assert len(taken) == 128 // FLOOD, "who comes meanwhile waits for a short turn"


def test_turn_is_whole_while_nobody_floods() -> None:
    """E6: what many have waiting shares a force."""
    inbox: Inbox[int] = Inbox()
    for source in range(8):
        inbox.put(source, [source] * SHARE)

    assert len(inbox.take(128)) == 128


def test_who_gave_last_comes_last_in_the_next_turn() -> None:
    """Nobody is always first."""
    inbox: Inbox[int] = Inbox()
    for source in (1, 2, 3):
        inbox.put(source, [source] * 5 * SHARE)

    turns = [inbox.take(SHARE)[0] for _ in range(4)]

    assert turns == [1, 2, 3, 1]


def test_never_more_than_asked_for_and_nothing_lost() -> None:
    """Style 13: a turn is bounded."""
    inbox: Inbox[tuple[int, int]] = Inbox()
    for source in range(7):
        inbox.put(source, [(source, place) for place in range(100)])
    inbox.put(9, [])

    turns = []
    while len(inbox):
        turns.append(inbox.take(50))

    assert [len(turn) for turn in turns] == [50] * 14
    taken = sorted(item for turn in turns for item in turn)
    assert taken == [(source, place) for source in range(7) for place in range(100)]
