"""Protocol errors, split by whose fault they are."""


class ProtocolError(Exception):
    """A message broke the rules of a protocol.  Catch one of the subclasses."""


class LinkError(ProtocolError):
    """A link went wrong: drop it and come again with a new session (B2)."""


class RemoteProtocolError(ProtocolError):
    """A peer did what the protocol forbids: quarantine it, keep running (B7)."""
