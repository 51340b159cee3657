"""Ask node 1 for something, and read its answer."""

from exchange.engine import inputs
from exchange.engine.effects import AnswerBody, Refused
from tests.support.engines import Engines


def ask(engines: Engines, item: inputs.Input) -> AnswerBody:
    """Give an input with a ticket to node 1 and return the answer."""
    engines.step(1, item)
    return engines.answers[item.ticket]  # type: ignore[union-attr]  # those used here have one


def code(answer: AnswerBody) -> str:
    assert isinstance(answer, Refused), answer
    assert answer.detail
    return answer.code
