"""Trades in doubt are judged by the decider's log alone (S4, S5, S7)."""

import pytest

from exchange.domain.units import (
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Ticks,
    TradeId,
    make_id,
)
from exchange.engine.records import (
    OfferId,
    OffersForgotten,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from recovery.evidence import Evidence
from recovery.proof import NOT_HANDLED, Outcome, Verdict, judge_all

PROPOSER, DECIDER = NodeId(1), NodeId(2)
TAKER, MAKER = OrderId(make_id(1, 7)), OrderId(make_id(2, 9))
NOW = Micros(1_700_000_000_000_000)


def an_id(seq: int, *, epoch: int = 1) -> OfferId:
    return OfferId(Epoch(epoch), Seq(seq))


def a_trade(seq: int) -> TradeId:
    return TradeId(make_id(1, 100 + seq))


def offered(seq: int, *, epoch: int = 1) -> TradeOffered:
    return TradeOffered(
        DECIDER,
        an_id(seq, epoch=epoch),
        a_trade(seq),
        TAKER,
        MAKER,
        Lots(5),
        Ticks(10),
        Ticks(11),
        Stamp(2),
        Stamp(1),
        NOW,
    )


def accepted(seq: int, *, quantity: int = 5, epoch: int = 1) -> TradeAccepted:
    offer_id = an_id(seq, epoch=epoch)
    trade = a_trade(seq)
    return TradeAccepted(PROPOSER, offer_id, trade, MAKER, TAKER, Lots(quantity), Ticks(10), NOW)


def declined(seq: int) -> TradeDeclined:
    return TradeDeclined(PROPOSER, an_id(seq), a_trade(seq), "gone", NOW)


def a_log(node_id: NodeId, *records: Record) -> Evidence:
    evidence = Evidence(node_id)
    evidence.add(Lsn(1), records)
    return evidence


def verdict_of(proposer: Evidence, *others: Evidence) -> Verdict:
    (verdict,) = judge_all({log.node_id: log for log in (proposer, *others)})
    return verdict


def test_an_acceptance_proves_a_commit() -> None:
    """S3: the acceptance is the commit point."""
    proposer = a_log(PROPOSER, offered(1))

    verdict = verdict_of(proposer, a_log(DECIDER, accepted(1, quantity=3)))
    assert verdict.verdict is Outcome.COMMIT
    assert verdict.quantity == 3
    assert verdict.needs == ""
    assert [(witness.node, witness.type) for witness in verdict.records] == [
        (1, "TradeOffered"),
        (2, "TradeAccepted"),
    ]


def test_a_decline_proves_an_abort() -> None:
    """S5."""
    verdict = verdict_of(a_log(PROPOSER, offered(1)), a_log(DECIDER, declined(1)))

    assert verdict.verdict is Outcome.ABORT
    assert verdict.records[1].type == "TradeDeclined"


def test_a_mark_above_without_an_acceptance_proves_an_abort() -> None:
    """S5: an offer at or below the mark is declined for ever."""
    verdict = verdict_of(a_log(PROPOSER, offered(1)), a_log(DECIDER, accepted(2)))

    assert verdict.verdict is Outcome.ABORT
    assert verdict.records[1].record["offer_id"] == "1.2"


def test_a_mark_of_a_later_epoch_is_above() -> None:
    """S5: offers are ordered by epoch, then seq."""
    verdict = verdict_of(a_log(PROPOSER, offered(9)), a_log(DECIDER, accepted(1, epoch=2)))

    assert verdict.verdict is Outcome.ABORT


def test_a_mark_below_leaves_it_undecided() -> None:
    """S4: "no record" alone means nothing."""
    verdict = verdict_of(a_log(PROPOSER, offered(2)), a_log(DECIDER, accepted(1)))

    assert verdict.verdict is Outcome.UNDECIDED
    assert verdict.needs == NOT_HANDLED


def test_a_missing_directory_is_named() -> None:
    """Interfaces 5."""
    verdict = verdict_of(a_log(PROPOSER, offered(1)))

    assert verdict.verdict is Outcome.UNDECIDED
    assert verdict.needs == "directory of node 2"


@pytest.mark.parametrize("quantity", [0, 5])
def test_a_settled_offer_is_not_in_doubt(quantity: int) -> None:
    """S3."""
    settled = TradeSettled(DECIDER, an_id(1), Lots(quantity), NOW)

    assert judge_all({PROPOSER: a_log(PROPOSER, offered(1), settled)}) == []


def test_a_forgotten_acceptance_is_no_abort() -> None:
    """S7: below the watermark nothing is claimed; the proposer's directory is an old copy."""
    decider = a_log(DECIDER, accepted(1), OffersForgotten(PROPOSER, an_id(2)), accepted(5))

    verdict = verdict_of(a_log(PROPOSER, offered(1)), decider)
    assert verdict.verdict is Outcome.UNDECIDED
    assert verdict.needs.startswith("newer directory of node 1")


def test_a_broken_decider_log_proves_only_its_intact_part() -> None:
    """W4."""
    decider = a_log(DECIDER, accepted(1))
    decider.is_whole = False

    proposer = a_log(PROPOSER, offered(1), offered(2))
    first, second = judge_all({PROPOSER: proposer, DECIDER: decider})
    assert first.verdict is Outcome.COMMIT
    assert second.verdict is Outcome.UNDECIDED
    assert second.needs == "log of node 2 after LSN 1"


def test_only_proposers_are_in_doubt() -> None:
    """S4: an acceptance without an acknowledgement is no doubt of the decider."""
    assert judge_all({DECIDER: a_log(DECIDER, accepted(1))}) == []
