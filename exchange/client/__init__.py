"""Floor 4: the client library and the `exchange` command."""
