"""A campaign: so many inputs over each surface, and the findings, each the smallest of its kind."""

import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from hypothesis import Phase, given, seed
from hypothesis import strategies as st

from exchange.gateway.resources.openapi import make_document
from exchange.gateway.service import all_resources
from fuzz.hostile import inputs
from fuzz.hostile.surfaces import over_http, over_tcp, over_websocket
from fuzz.hostile.target import Target
from fuzz.seeded import seeded
from fuzz.violation import Violation

EXAMPLES = 200  # of a chunk; after each the process is looked at
FINDINGS_MAX = 20
LINES_MAX = 12  # of an example
SHARES = {"tcp": 0.5, "http": 0.2, "websocket": 0.2, "openapi": 0.1}
PHASES = (Phase.generate, Phase.shrink)


class Report(msgspec.Struct):
    """What a campaign came to."""

    inputs: Counter[str]
    findings: list[str]
    seconds: float
    rss_mb: tuple[float, float]  # of the process, at the beginning and at the end


def campaign(target: Target, *, count: int, first_seed: int) -> Report:
    """Send so many inputs, and return what was found."""
    begun, rss = time.monotonic(), target.rss_mb
    sent: Counter[str] = Counter()
    findings: list[str] = []
    for surface, share in SHARES.items():
        number = first_seed
        while sent[surface] < count * share and len(findings) < FINDINGS_MAX:
            left = int(count * share) - sent[surface]
            try:
                _chunk(surface, target, sent, number, min(EXAMPLES, max(1, left // 4)))
                target.check()
            except Violation as violation:
                findings.append(f"{surface}, seed {number}: {violation}")
            except BaseExceptionGroup as group:
                findings += [f"{surface}, seed {number}: {error}" for error in group.exceptions]
            number += 1
    return Report(sent, findings, time.monotonic() - begun, (rss, target.rss_mb))


def _chunk(surface: str, target: Target, sent: Counter[str], number: int, examples: int) -> None:
    strategy, run = _SURFACES[surface](target)

    @seed(number)
    @seeded(examples=examples, phases=PHASES)
    @given(strategy)
    def examined(example: Any) -> None:  # noqa: ANN401 - each surface has its own
        sent[surface] += run(example)

    examined()


Surface = tuple[st.SearchStrategy[Any], Callable[[Any], int]]


def _tcp(target: Target) -> Surface:
    def run(example: tuple[list[bytes], int]) -> int:
        lines, chance = example
        over_tcp(target, lines, is_known=chance > 0)
        return len(lines)

    batch = st.lists(inputs.lines, min_size=1, max_size=LINES_MAX)
    return st.tuples(batch, st.integers(0, 4)), run


def _http(target: Target) -> Surface:
    def run(example: tuple[str, bytes]) -> int:
        over_http(target, *example)
        return 1

    return inputs.http_requests(target.attacker["api_key"]), run


def _websocket(target: Target) -> Surface:
    def run(example: tuple[list[bytes], int]) -> int:
        messages, chance = example
        over_websocket(target, messages, is_raw=chance == 0)
        return len(messages)

    batch = st.lists(inputs.lines, min_size=1, max_size=LINES_MAX)
    return st.tuples(batch, st.integers(0, 5)), run


def _openapi(target: Target) -> Surface:
    def run(case: Any) -> int:  # noqa: ANN401 - schemathesis has no types here
        response = case.call(
            base_url=f"http://{target.https}/v1",
            headers={"Authorization": f"Bearer {target.attacker['api_key']}"},
        )
        kind = response.headers.get("content-type", [""])[0]
        target.judge.leaks(str(case.as_curl_command()).encode(), response.content)
        if case.method.upper() != "HEAD":
            target.judge.problem(response.status_code, kind, response.content)
        return 1

    return _cases(), run


@cache
def _cases() -> st.SearchStrategy[Any]:
    import schemathesis
    from schemathesis import GenerationMode

    document = make_document(all_resources(lambda: 0)[:-1])
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    modes = (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)
    return st.one_of([each.as_strategy(mode) for each in operations for mode in modes])


_SURFACES: dict[str, Callable[[Target], Surface]] = {
    "tcp": _tcp,
    "http": _http,
    "websocket": _websocket,
    "openapi": _openapi,
}
