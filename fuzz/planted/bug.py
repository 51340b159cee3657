"""What a planted bug is, and the files that most of them are in."""

import msgspec


class Planted(msgspec.Struct, frozen=True):
    """One bug."""

    name: str
    rule: str  # that it breaks
    file: str
    old: str
    new: str
    hunters: tuple[str, ...] = ("mixed",)  # names in `fuzz.mutants.HUNTERS`, in this order


ENGINE = "exchange/engine/engine.py"
CORE = "exchange/engine/core.py"
LEDGER = "exchange/engine/ledger.py"
APPLY = "exchange/engine/apply.py"
MATCHING = "exchange/engine/matching.py"
SETTLEMENT = "exchange/engine/settlement.py"
SESSIONS = "exchange/engine/sessions.py"
CLOCKS = "exchange/engine/clocks.py"
PACE = "exchange/engine/pace.py"
REPLICATION = "exchange/engine/replication.py"
SOFT = "exchange/engine/soft.py"
STATE = "exchange/engine/state.py"
COMMANDS = "exchange/engine/commands.py"
ORDERS = "exchange/domain/orders.py"
BOOK = "exchange/domain/book.py"
STORE = "exchange/store/store.py"
CHECKPOINT = "exchange/store/checkpoint.py"
