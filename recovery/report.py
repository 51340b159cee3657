"""What the reading verbs print for people: one screen, problems as rows, a verdict, a next step."""

from collections.abc import Iterable, Sequence

from exchange.domain.instruments import money
from recovery.advice import next_step
from recovery.inspection import Inspection, Node
from recovery.problems import EXIT_DAMAGED, EXIT_IN_DOUBT, EXIT_USAGE, Problem, Severity, exit_code
from recovery.proof import Outcome, Verdict, Witness
from recovery.selection import Row
from recovery.show import counted, size_text
from recovery.verification import Verification

ALL_ROWS_MAX = 1_000
ROWS_MAX = 12  # of a list, so that `inspect` stays one screen; `-o json` has all of them


def inspection_text(result: Inspection) -> Iterable[str]:
    """Write an inspection on one screen."""
    for node in result.directories:
        yield from _node_text(node)
        yield ""
    if result.in_doubt:
        yield f"in doubt: {len(result.in_doubt)}"
        for verdict in result.in_doubt[:ROWS_MAX]:
            yield from verdict_text(verdict)
        yield from _more(result.in_doubt)
        yield ""
    rows = [found for found in result.problems if found.code != "in_doubt"]
    if rows:
        yield from problems_text(rows)
        yield ""
    yield sentence(result)
    yield f"next: {next_command(result)}"


def verification_text(result: Verification) -> Iterable[str]:
    """Write what was checked, and every problem."""
    for node in result.directories:
        yield (
            f"{node.path}: node {node.node_id}, {counted(node.records, 'record')} in"
            f" {counted(node.frames, 'frame')}, chain {node.chain},"
            f" {counted(node.accounts, 'account')}, {counted(len(node.ledger), 'asset')}"
        )
    yield (
        f"checked {counted(result.records, 'record')}, audited {result.audited},"
        f" checked {counted(result.rows, 'table row')}"
    )
    yield ""
    rows = [found for found in result.problems if found.code != "in_doubt"]
    if rows:
        yield from problems_text(rows, ALL_ROWS_MAX)
        yield ""
    for verdict in result.in_doubt[:ALL_ROWS_MAX]:
        yield from verdict_text(verdict)
    yield sentence(result)
    yield f"next: {next_command(result)}"


def problems_text(problems: Sequence[Problem], rows_max: int = ROWS_MAX) -> Iterable[str]:
    """Write problems as rows: severity, code, place, detail, remedy."""
    for found in problems[:rows_max]:
        yield f"{found.severity:<7} {found.code:<22} {found.place}"
        yield f"        {found.detail}"
        yield f"        -> {found.remedy}"
    yield from _more(problems, rows_max)


def verdict_text(verdict: Verdict) -> Iterable[str]:
    """Write a trade in doubt, and what proves its outcome."""
    yield (
        f"  trade {verdict.trade_id}  node {verdict.proposer} -> node {verdict.decider}"
        f"  offer {verdict.offer_id}  {verdict.amount}"
        f"  {str(verdict.verdict).upper()}"
    )
    for witness in verdict.records:
        yield f"      {witness_text(witness)}"
    if verdict.verdict is Outcome.UNDECIDED:
        yield f"      needs: {verdict.needs}"


def witness_text(witness: Witness) -> str:
    """Write one record that proves something."""
    where = f"LSN {witness.lsn}" if witness.lsn else "checkpoint"
    return f"node {witness.node} {where}: {witness.type} {fields_text(witness)}"


def fields_text(shown: Witness | Row) -> str:
    """Write the fields of a record, prices and quantities as people read them."""
    fields = shown.record | {name: shown.amounts[name] for name in shown.amounts if "." not in name}
    first = shown.record.get("first")
    if isinstance(first, dict):
        fields["first"] = first | {
            name.removeprefix("first."): text
            for name, text in shown.amounts.items()
            if name.startswith("first.")
        }
    return " ".join(f"{name}={value}" for name, value in fields.items())


def sentence(result: Inspection | Verification) -> str:
    """Return the verdict in one sentence."""
    code = exit_code(result.problems)
    nodes = counted(len(result.directories), "directory", "directories")
    if code == EXIT_DAMAGED:
        damage = {found.code for found in result.problems if found.severity is Severity.DAMAGE}
        if damage == {"trade_frozen"}:
            return f"{nodes}: intact, and a trade was decided twice: see the rows above."
        return f"{nodes}: DAMAGED, see the rows above; do not start these nodes."
    if code == EXIT_USAGE:
        return f"{nodes} looked at; see the rows above for those that were not."
    if code == EXIT_IN_DOUBT:
        if not result.in_doubt:
            return f"{nodes}: intact, and it waits for somebody to act: see the rows above."
        undecided = sum(v.verdict is Outcome.UNDECIDED for v in result.in_doubt)
        total = counted(len(result.in_doubt), "trade")
        proven = len(result.in_doubt) - undecided
        return f"{nodes}: intact, {total} in doubt ({proven} proven, {undecided} undecided)."
    return f"{nodes}: clean, nothing in doubt."


def next_command(result: Inspection | Verification) -> str:
    """Return the command to type next."""
    return next_step(result, is_verified=isinstance(result, Verification))


def _node_text(node: Node) -> Iterable[str]:
    running = "not running"
    if node.running_pid is not None:
        running = f"running, pid {node.running_pid}" if node.running_pid else "running"
    yield f"{node.path}: node {node.node_id} of cluster {node.cluster}, {running}"
    yield f"  format {node.format}   epoch {node.epoch}   birth nonce {node.nonce}"
    chain = node.chain
    if node.frames_after_break:
        behind = counted(node.frames_after_break, "frame")
        chain += f" after LSN {node.last_lsn}, behind it {behind}"
    yield (
        f"  log    LSN {node.first_lsn}..{node.last_lsn} in {counted(node.frames, 'frame')},"
        f" {size_text(node.log_bytes)}, chain {chain}, last write {node.last_write or 'never'}"
    )
    redo = max(0, node.last_lsn - node.checkpoint_lsn)
    yield f"  state  checkpoint at LSN {node.checkpoint_lsn}, redo {counted(redo, 'record')}"
    yield (
        f"  market {counted(node.accounts, 'account')}, {counted(node.open_orders, 'open order')},"
        f" {counted(node.instruments, 'instrument')}, {counted(node.trades, 'trade')} decided here"
    )
    yield (
        f"  doubt  {counted(node.offers_in_doubt, 'offer')} without an answer,"
        f" {counted(node.acceptances, 'acceptance')} not acknowledged"
    )
    yield (
        f"  disk   {size_text(node.file_bytes)} file, {size_text(node.map_used)} of a map of"
        f" {size_text(node.map_size)}"
    )
    for row in node.ledger[:ROWS_MAX]:
        held, decimals = money(row.held, row.decimals), row.decimals
        balance = "balanced" if not row.total else f"OFF BY {money(row.total, decimals)}"
        yield (
            f"  {row.asset:<6} accounts {money(row.accounts, decimals)} (held {held}),"
            f" outside {money(row.external, decimals)},"
            f" clearing {money(row.clearing, decimals)}: {balance}"
        )
    yield from _more(node.ledger)


def _more(rows: Sequence[object], rows_max: int = ROWS_MAX) -> Iterable[str]:
    if len(rows) > rows_max:
        yield f"  ... and {len(rows) - rows_max} more: -o json has all of them"
