"""The lines that prove who is of a cluster."""

import pytest

from exchange.wire.errors import RemoteProtocolError
from exchange.wire.proving import (
    NONCE_SIZE,
    Prove,
    SecretProof,
    encode_proving,
    read_proof,
    read_prove,
)


def test_what_is_written_is_read() -> None:
    asked, proof = Prove(b"n" * NONCE_SIZE), SecretProof(b"p", b"n", "/a/cluster.secret")

    assert read_prove(encode_proving(asked)) == asked
    assert read_proof(encode_proving(proof)) == proof


def test_other_first_lines_ask_for_no_proof() -> None:
    for line in (b'"1-1"', b'{"type":"node"}', b'{"type":"prove"}', b'"prove"', b'{"prove"'):
        assert read_prove(line) is None


def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    line = b'{"type":"error","value":{"code":"no_secret","title":"t","detail":"start it alike"}}'

    with pytest.raises(RemoteProtocolError, match="start it alike"):
        read_proof(line)


@pytest.mark.parametrize("line", [b"", b"{}", b'"ok"', b'{"type":"proof","proof":7}', b"[" * 9_999])
def test_what_is_no_proof_is_refused(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_proof(line)
