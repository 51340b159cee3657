"""What a node keeps of the cluster between its connections."""

from pathlib import Path

from exchange.node.identity import OperatorKey


def test_operator_hash_is_empty_until_it_is_told(tmp_path: Path) -> None:
    """Interfaces section 1: it fails closed."""
    key = OperatorKey(tmp_path / "operator.hash")
    key.learn(b"")

    assert key.hash == b""
    assert not (tmp_path / "operator.hash").exists()
