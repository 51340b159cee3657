"""Reading verbs leave everything as it was, even beside a running node."""

import hashlib
import itertools
from pathlib import Path

import pytest
from click.testing import CliRunner

from recovery.command import cli
from recovery.reading_verbs import VERBS, Frames
from tests.recovery.cluster import Cluster, account_of


def fingerprint(paths: list[Path]) -> dict[str, tuple[int, str]]:
    return {
        str(file): (file.stat().st_mtime_ns, hashlib.blake2b(file.read_bytes()).hexdigest())
        for path in paths
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("verb", sorted(verb.name or "" for verb in VERBS))
@pytest.mark.parametrize("is_running", [False, True])
def test_a_reading_verb_changes_nothing(market: Cluster, verb: str, is_running: bool) -> None:
    """Issue, item 1: by hash and mtime; not even of lock.mdb."""
    if not is_running:
        market.kill_all()
    before = fingerprint(market.paths)
    words = {
        "log": [str(market.paths[0])],
        "bisect": [str(market.paths[0]), "--invariant", "ledger"],
        "timeline": ["2-2", *map(str, market.paths)],
    }
    result = CliRunner().invoke(cli, [verb, *words.get(verb, list(map(str, market.paths)))])

    assert result.exit_code in (0, 1)
    assert fingerprint(market.paths) == before


def test_a_log_is_followed_while_the_node_writes(
    market: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces 5: `--follow`."""
    monkeypatch.setattr("time.sleep", lambda _: market.fund(account_of(1), USD=1))
    frames = Frames(market.paths[0]).read(follow=True)
    engine = market.nodes[1].engine  # type: ignore[index]
    assert engine is not None
    lsn = engine.state.lsn

    followed = list(itertools.takewhile(lambda frame: frame.last_lsn < lsn + 3, frames))
    assert followed[-1].last_lsn == lsn + 2
