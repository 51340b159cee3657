"""Why a gateway cannot start.  Each error knows its exit code (interfaces section 4)."""

from exchange.node.errors import NodeError


class GatewayError(NodeError):
    """Base: a message of what, where and remedy, and an exit code."""


class BadCertificate(GatewayError):  # noqa: N818 - errors are named by fault
    """A certificate or key that cannot be used."""

    exit_code = 2
