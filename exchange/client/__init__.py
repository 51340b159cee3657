"""The client library and the `exchange` command."""
