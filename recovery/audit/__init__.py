"""The second opinion: reads logs and knows nothing of the exchange's code.

The auditor decodes frames and records from the documented format (`docs/log-format.md`), keeps
its own ledger, its own orders and its own naive book, and checks every record against the
rules of the market.  It starts from records, never from checkpoint tables, and imports nothing
from `exchange`; an import contract holds it to that.  A fault that the engine and its tools
share cannot hide from it.

    wire       bytes to frames and rows, digests
    findings   what it reports
    market     instruments, orders, the naive book
    ledger     accounts, orders, matching, one method for each kind of record
    trades     trades with other nodes, and what was seen of them
    tables     what the checkpoint tables must hold
    node       one node's log, frame by frame
    reader     one data directory
    join       several nodes: both halves equal, nobody ahead of a force, conservation
"""
