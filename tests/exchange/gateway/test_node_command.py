"""`exchange-node` as people start it."""

import subprocess
import sys


def test_http_half_is_imported_only_when_it_is_served() -> None:
    """Issue: the HTTP parts cost 0.6 s of start-up."""
    program = (
        "import sys, exchange.gateway.node_command; "
        "sys.exit(any(name in sys.modules for name in ('h11', 'wsproto')))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == 0
