"""Floor 6: the Trio shell of a node."""
