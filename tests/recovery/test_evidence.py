"""Evidence keeps what can still matter, and no more (S5, S7)."""

from exchange.domain.units import Lsn
from exchange.engine.records import BEFORE_ANY, OffersForgotten
from tests.recovery.test_proof import DECIDER, PROPOSER, a_log, accepted, an_id, declined, offered


def test_the_mark_is_the_highest_offer_handled() -> None:
    """S5."""
    evidence = a_log(DECIDER, accepted(1), declined(2), accepted(3))

    assert evidence.mark(PROPOSER) == an_id(3)
    assert evidence.mark(DECIDER) == BEFORE_ANY


def test_forgetting_drops_answers_below_the_watermark_alone() -> None:
    """S7."""
    evidence = a_log(DECIDER, accepted(1), accepted(2), OffersForgotten(PROPOSER, an_id(2)))

    assert evidence.answer(PROPOSER, an_id(1)) is None
    assert evidence.answer(PROPOSER, an_id(2)) == (Lsn(2), accepted(2))
    assert evidence.acceptances == 1


def test_lsns_count_every_record() -> None:
    """W2: LSNs are dense over all records, not only those that witness something."""
    evidence = a_log(PROPOSER, offered(1), OffersForgotten(DECIDER, an_id(1)), offered(2))

    assert [lsn for lsn, _ in evidence.offers.values()] == [1, 3]
    assert evidence.last_lsn == 3
