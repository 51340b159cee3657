"""The report of a replay in words."""

from exchange.client.output import counted
from exchange.client.replay import Latency, Report


def rows(report: Report) -> list[dict[str, object]]:
    """Return what was found, a line each."""
    found: list[tuple[str, str]] = [
        ("source", f"{report.source}, {report.pace}"),
        ("spread over", f"{report.accounts} accounts on {counted(report.nodes, 'node')}"),
        ("instruments", str(report.instruments)),
        ("orders", f"{report.orders} of {report.actions} actions in {report.seconds:.1f} s"),
        ("orders/s", f"{report.orders_per_second:.0f}"),
        ("acknowledged", _latency(report.acknowledged)),
        ("settled", _latency(report.settled)),
        ("trades", str(report.trades)),
        ("quiet after", f"{report.quiet_seconds:.2f} s"),
        ("as the naive book", _naive(report)),
        ("as the source says", _share(report)),
        ("books equal", "yes, on all nodes" if report.is_books_equal else "NO"),
        ("conservation", "exact" if report.is_conserved else "VIOLATED"),
    ]
    if report.refused:
        refused = ", ".join(f"{count} {code}" for code, count in sorted(report.refused.items()))
        found.append(("refused", refused))
    if report.repeated:
        found.append(("sent again", str(report.repeated)))
    return [{"what": what, "found": text} for what, text in found]


def verdict(report: Report) -> str:
    """Say in one sentence how it went."""
    if report.is_right:
        return "everything is as it must be"
    return f"not as it must be: {counted(report.problems, 'thing')}"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "none"
    return (
        f"p50 {latency.p50_ms:.2f} ms, p90 {latency.p90_ms:.2f}, p99 {latency.p99_ms:.2f}, "
        f"max {latency.max_ms:.2f} of {latency.count}"
    )


def _naive(report: Report) -> str:
    if report.is_naive_equal is None:
        return "not compared: lanes overtake each other at full speed"
    return "equal on every line" if report.is_naive_equal else "DIFFERENT"


def _share(report: Report) -> str:
    if report.trade_lines_share is None:
        return "the source names no fills"
    share = 100 * report.trade_lines_share
    return f"{report.trade_lines_equal} of {report.trade_lines} trade lines ({share:.1f} %)"
