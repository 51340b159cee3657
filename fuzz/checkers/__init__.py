"""What must hold: one class per property."""

from fuzz.checkers.answers import AnswersSurvive, OneEffectPerKey, UnknownStaysUnknown
from fuzz.checkers.base import Checker
from fuzz.checkers.market import (
    DeclinesBounded,
    NotCrossed,
    PriceTimePriority,
    ReplicasEqualOwners,
    SilentNodeWaits,
)
from fuzz.checkers.said import NothingLeavesEarly, SaidInOrder
from fuzz.checkers.state import ChainHolds, StateIsFold
from fuzz.checkers.telling import ToldAsDecided
from fuzz.checkers.trades import (
    Conservation,
    ConservationPerTrade,
    MatchingRules,
    OneOutcome,
    OneTape,
)
from fuzz.violation import Violation

CHECKERS: tuple[type[Checker], ...] = (
    ConservationPerTrade,
    OneOutcome,
    MatchingRules,
    OneEffectPerKey,
    NothingLeavesEarly,
    SaidInOrder,
    SilentNodeWaits,
    PriceTimePriority,
    DeclinesBounded,
    AnswersSurvive,
    UnknownStaysUnknown,
    OneTape,
    Conservation,
    NotCrossed,
    ReplicasEqualOwners,
    ChainHolds,
    StateIsFold,
    ToldAsDecided,
)

__all__ = ["CHECKERS", "Checker", "Violation"]
