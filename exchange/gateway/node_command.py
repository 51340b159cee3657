"""`exchange-node` as people start it: a node, and the gateway it does not know of (C7).

The node's floor may not import this one, so the two are put together here.  The HTTP half
costs 0.6 s of start-up and is imported only if it is served.
"""

import trio

from exchange.node import command
from exchange.node.embedding import Embedding


async def serve(embedding: Embedding, *, task_status: trio.TaskStatus[str]) -> None:
    """Serve HTTPS until cancelled."""
    from exchange.gateway.service import serve_embedded

    await serve_embedded(embedding, task_status=task_status)


def main() -> None:
    """Run `exchange-node`."""
    command.main(serve)


if __name__ == "__main__":
    main()
