"""What nobody could tell of a lost node, in words: the list that an operator accepts (C3)."""

from exchange.domain.units import format_id, make_id
from recovery.knowledge import SUSPENSE, Rebuilt
from recovery.show import counted


def what_is_lost(result: Rebuilt) -> list[str]:
    """Say what was not recovered."""
    since = f" after LSN {result.from_backup_lsn}" if result.from_backup_lsn else ""
    lost = [
        f"deposits, withdrawals and issues{since}: no other node knows them",
        f"accounts, API keys and client order ids made{since}",
        f"trades between accounts of this node{since}",
        f"orders placed, amended or canceled{since}, as far as they met no other node"
        " and no replica shows them",
    ]
    if since:
        lost.append(f"what was done to keys{since}: who had one then has it again, rotated or not")
    if result.absent:
        nodes = ", ".join(f"node {node}" for node in result.absent)
        lost.append(f"trades with {nodes}{since}: give all directories, or they stay half")
    if not result.replicas:
        lost.append("its open orders: no node that runs was asked for them")
    elif result.replicas_lsn < result.from_backup_lsn:
        lost.append(f"its open orders: replicas show it as at LSN {result.replicas_lsn}")
    account = format_id(make_id(result.node, SUSPENSE))
    of_some = (
        (result.opened, "account", "the keys of {} that replicas name: an operator makes new ones"),
        (result.restored, "order", "client order ids and self-trade prevention of {} restored"),
        (result.suspense, "trade", f"whose {{}} in account {account}, of no known owner, were"),
        (result.declined_now, "offer", "what it answered to {}: declined now"),
        (result.canceled, "order", "the state of {}: canceled now"),
    )
    lost += [told.format(counted(len(rows), one)) for rows, one, told in of_some if rows]
    return lost
