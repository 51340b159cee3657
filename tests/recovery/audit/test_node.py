"""A log that makes no sense is reported and survived, record by record."""

from typing import Any

import pytest

from recovery.audit.node import NodeAudit, _methods
from recovery.audit.wire import Frame
from recovery.selection import KINDS


def a_node() -> NodeAudit:
    node = NodeAudit(1, previous=b"", checkpoint_lsn=0)
    node.add(Frame(1, 1, 0, {}, [[1, 1, b"", 0]], b""))
    return node


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ([9, 5, "", 0], "audit_unknown"),
        ([99, 5], "audit_unknown"),
        ([], "audit_malformed"),
        ([6, 1], "audit_malformed"),
        ([5, "x", None, {}, 0], "audit_malformed"),
        ([16, 2, 7], "audit_malformed"),
        ([11, 1, 2, 3, 4, 5, 6, 7, 8], "audit_unknown"),
    ],
)
def test_a_record_that_cannot_be_is_one_finding(record: list[Any], code: str) -> None:
    """Issue: the auditor never crashes."""
    node = a_node()
    node.add(Frame(2, 1, 0, {}, [record], b""))

    assert code in [finding.code for finding in node.findings]
    assert node.records == 2


def test_every_kind_of_record_is_known() -> None:
    """A record that the auditor does not know would hide a fault."""
    kinds: list[Any] = list(KINDS.values())
    fields = {kind.__struct_config__.tag: len(kind.__struct_fields__) for kind in kinds}

    known = {tag: size - 1 for tag, (_, size) in _methods(a_node().trades).items()}
    assert known == fields


def test_lsns_are_dense() -> None:
    """W2."""
    node = a_node()
    node.add(Frame(3, 1, 0, {}, [[17, 2, b"", 1, b"", ""]], b""))

    assert [finding.code for finding in node.findings] == ["audit_lsn"]


def test_a_boot_is_alone_in_its_frame() -> None:
    """W6."""
    node = a_node()
    node.add(Frame(2, 2, 0, {}, [[1, 2, b"", 0], [17, 2, b"", 1, b"", ""]], b""))

    assert [finding.code for finding in node.findings] == ["audit_epoch"]
