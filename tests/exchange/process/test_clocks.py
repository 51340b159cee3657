"""The clocks tell microseconds, and one of them never goes back."""

from exchange.process.clocks import SystemClocks, now


def test_both_clocks_tell_microseconds() -> None:
    clocks = SystemClocks()

    assert abs(clocks.wall_us() - now().timestamp() * 1e6) < 60e6
    assert clocks.mono_us() <= clocks.mono_us()
