"""Floor 5: the registry of nodes, accounts and instruments, outside the trade path."""
