"""Floor 3: the registry of nodes, accounts and instruments, outside the trade path."""
