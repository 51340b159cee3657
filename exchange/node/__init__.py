"""Floor 3: the Trio shell of a node."""
