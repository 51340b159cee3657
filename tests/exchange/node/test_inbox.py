"""Nobody's flood is in front of others."""

from typing import TypeVar

from exchange.node.inbox import FLOOD, SHARE, Inbox

T = TypeVar("T")


def take(inbox: Inbox[T], limit: int) -> list[T]:
    """Take a turn's worth, whoever it is from."""
    return [item for _, items in inbox.take(limit) for item in items]


def test_order_of_a_source_is_kept() -> None:
    """Interfaces 1: answers come in the order of the requests."""
    inbox: Inbox[int] = Inbox()
    inbox.put(1, range(2 * SHARE))
    inbox.put(1, range(2 * SHARE, 3 * SHARE))

    taken = take(inbox, SHARE + 5) + take(inbox, 10 * SHARE)

    assert taken == list(range(3 * SHARE))
    assert not len(inbox)


def test_flood_is_a_share_ahead_of_others_and_no_more() -> None:
    """Issue: a flood from one key while another trades."""
    inbox: Inbox[str] = Inbox()
    for flood in (1, 2, 3):
        inbox.put(flood, ["flood"] * 5_000)
    inbox.put(4, ["mine"])

    taken = take(inbox, 128)

    assert taken.index("mine") == 3 * SHARE // FLOOD
    assert len(taken) == 128 // FLOOD, "who comes meanwhile waits for a short turn"


def test_turn_is_whole_while_nobody_floods() -> None:
    """E6: what many have waiting shares a force."""
    inbox: Inbox[int] = Inbox()
    for source in range(8):
        inbox.put(source, [source] * SHARE)

    assert len(take(inbox, 128)) == 128


def test_who_gave_last_comes_last_in_the_next_turn() -> None:
    """Nobody is always first."""
    inbox: Inbox[int] = Inbox()
    for source in (1, 2, 3):
        inbox.put(source, [source] * 5 * SHARE)

    turns = [take(inbox, SHARE)[0] for _ in range(4)]

    assert turns == [1, 2, 3, 1]


def test_never_more_than_asked_for_and_nothing_lost() -> None:
    """Style 13: a turn is bounded."""
    inbox: Inbox[tuple[int, int]] = Inbox()
    for source in range(7):
        inbox.put(source, [(source, place) for place in range(100)])
    inbox.put(9, [])

    turns = []
    while len(inbox):
        turns.append(take(inbox, 50))

    assert [len(turn) for turn in turns] == [50] * 14
    taken = sorted(item for turn in turns for item in turn)
    assert taken == [(source, place) for source in range(7) for place in range(100)]


def test_what_goes_on_waits_before_its_own_and_behind_the_others() -> None:
    """C4: an input of many records is done in slices, and others are served between."""
    inbox: Inbox[str] = Inbox()
    inbox.put(1, ["slice", "after it"])
    inbox.put(2, ["other"])
    taken = inbox.take(2)

    inbox.put_back(1, ["rest", "after it"], is_next=False)

    assert taken == [(1, ["slice", "after it"])]
    assert take(inbox, 10) == ["other", "rest", "after it"]
    assert not len(inbox)


def test_what_a_full_turn_left_is_first_in_the_next() -> None:
    """C4: who was not served is not sent to the end again."""
    inbox: Inbox[str] = Inbox()
    inbox.put(1, ["one"])
    inbox.put(2, ["two"])
    (_, first), (source, second) = inbox.take(2)

    inbox.put(3, ["three"])
    inbox.put_back(source, second, is_next=True)

    assert (first, take(inbox, 10)) == (["one"], ["two", "three"])
