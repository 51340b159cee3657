"""Floor 3: what every program does with its machine: log, addresses, sockets, TLS, small files."""
