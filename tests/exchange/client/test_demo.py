"""The demonstration is a test of its own: it kills a node and says whether all is there."""

from pathlib import Path

import pytest
import trio

from exchange.client.demo import run_demo
from exchange.client.flow_random import generate


def test_demo_kills_a_node_and_loses_nothing() -> None:
    """S13, W6, B5, faults 2.3: one dead node stops nobody, and it comes back with everything."""
    said: list[str] = []
    flow = generate(seed=5, instruments=2, accounts=9, orders=1500)

    code = trio.run(run_demo, flow, 3, False, said.append)

    text = "\n".join(said)
    assert code == 0, text
    assert "dies in the middle of trading" in text
    assert text.count("  ok  ") == 7
    assert "Nothing was lost" in text


def test_what_is_wrong_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is the truth; the directories are kept to look into."""
    monkeypatch.setattr("exchange.client.demo.tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("exchange.client.demo.lost_or_made", lambda *_: ["1 USD made"])
    said: list[str] = []
    flow = generate(seed=5, instruments=1, accounts=6, orders=600)

    code = trio.run(run_demo, flow, 2, True, said.append)

    text = "\n".join(said)
    assert code == 1, text
    assert "WRONG: 1 USD made" in text
    (line,) = [one for one in said if one.startswith("  exchange-recover inspect ")]
    assert [Path(name).is_dir() for name in line.split()[2:]] == [True, True]
