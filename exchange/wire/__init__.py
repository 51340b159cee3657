"""Floor 2: framing and encoding, for clients, peers and the coordinator."""
