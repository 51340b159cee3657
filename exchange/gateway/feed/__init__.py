"""The feed: each node is followed once, and its events reach all who want them (C8)."""
