"""A process can say how large it is."""

from exchange.node.facts import bytes_written, resident_bytes


def test_process_knows_its_size() -> None:
    """Interfaces section 1: `node.status`."""
    assert resident_bytes() > 1 << 20
    assert bytes_written() >= 0
