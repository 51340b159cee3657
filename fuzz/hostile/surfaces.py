"""Carries an example to the target, and what comes back to the judge."""

import re
import socket
from collections.abc import Sequence

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    Request,
)

from fuzz.hostile.target import Target
from fuzz.violation import Violation

END = b'"the end of the example"'
LAST = b'{"id":' + END + b',"type":"no.such.verb"}\n'
READ_SIZE = 1 << 16
_HEAD = re.compile(rb"\AHTTP/1\.[01] (\d{3}) [ -~]*\r\n((?:[!-~]+: ?[ -~]*\r\n)*)\r\n")


def over_tcp(target: Target, lines: Sequence[bytes], *, is_known: bool) -> None:
    """Send lines after a hello, or instead of one; each is answered, in order, with its id."""
    hello = target.hello() if is_known else b""
    sent = [line for line in lines if line not in (b"", b"\r")]  # blanks are a bad request
    whole = hello + b"".join(line + b"\n" for line in lines) + LAST
    with target.connect(target.tcp) as connection:
        received = _talk(connection, whole, until=END)
    answers = [line for line in received.split(b"\n") if line and not line.startswith(_FEED)]
    target.judge.leaks(whole, received)
    told = [target.judge.line(answer) for answer in answers]
    if END not in received:
        _check_end(sent, answers)
        return
    if len(told) != len(sent) + 1:
        raise Violation("form", f"{len(told) - 1} answers to {len(sent)} lines: {answers!r:.600}")
    for line, answer in zip(sent, told, strict=False):
        _check_id(line, answer)


_FEED = b'{"type":"feed"'


def _check_end(sent: Sequence[bytes], answers: Sequence[bytes]) -> None:
    """Refuse an early end, unless an error or a goodbye explains it."""
    is_told = bool(answers) and b'"error"' in answers[-1]
    if not is_told and not any(b"bye" in line for line in sent):
        raise Violation("form", f"the connection ended without a word: {sent!r:.600}")


def _check_id(line: bytes, answer: object) -> None:
    """Refuse an answer that is not named as its request was, if that was JSON."""
    try:
        request = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if (
        not isinstance(request, dict)
        or not isinstance(answer, dict)
        or "." not in str(request.get("type"))
    ):
        return
    wanted = request.get("id")
    is_long = isinstance(wanted, str) and len(msgspec.json.encode(wanted)) > 200
    if is_long or isinstance(wanted, dict | list) or "id" not in request:
        return
    if answer.get("id") != wanted:
        raise Violation("form", f"{wanted!r} was answered as {answer!r:.400}")


def over_http(target: Target, method: str, whole: bytes) -> None:
    """Send a request as it is; each answer is whole and of the documented form."""
    with target.connect(target.https) as connection:
        received = _talk(connection, whole, until=b"", is_half=True)
    target.judge.leaks(whole, received)
    rest = received
    while rest:
        match = _HEAD.match(rest)
        if match is None:
            raise Violation("form", f"no answer of HTTP: {rest[:400]!r} to {whole!r:.400}")
        status, headers = int(match[1]), _headers(match[2])
        rest = rest[match.end() :]
        if status in (100, 101):
            return  # upgraded: bytes of another protocol
        has_body = bool(rest) or (method != "HEAD" and status not in (204, 304))
        length = int(headers.get("content-length", "0")) if has_body else 0
        body, rest = rest[:length], rest[length:]
        if len(body) < length:
            raise Violation("form", f"{len(body)} of {length} bytes: {whole!r:.400}")
        if "server" in headers:
            raise Violation("leak", headers["server"])
        if has_body:
            target.judge.problem(status, headers.get("content-type", ""), body)


def _headers(text: bytes) -> dict[str, str]:
    rows = [row.partition(":") for row in text.decode("latin-1").split("\r\n") if row]
    return {name.lower(): value.strip() for name, _, value in rows}


def over_websocket(target: Target, messages: Sequence[bytes], *, is_raw: bool) -> None:
    """Send messages, or bytes that are no frames; each message is answered, or it ends."""
    client = WSConnection(ConnectionType.CLIENT)
    key = f"Bearer {target.attacker['api_key']}".encode()
    opening = Request(host="a", target="/v1/feed", extra_headers=[(b"Authorization", key)])
    sent = b"".join(messages)
    with target.connect(target.https) as connection:
        connection.sendall(client.send(opening))
        if not _until(connection, client, AcceptConnection):
            raise Violation("form", "no WebSocket")
        if is_raw:
            target.judge.leaks(sent, _talk(connection, sent, until=b"", is_half=True))
            return
        texts = [message.decode(errors="replace") for message in messages]
        for text in texts:
            connection.sendall(client.send(Message(text)))
            answer = _answer(connection, client)
            if answer is None:
                raise Violation("form", f"no answer to {text!r:.400}")
            target.judge.leaks(sent, answer)
            target.judge.line(answer)


def _answer(connection: socket.socket, client: WSConnection) -> bytes | None:
    """Return the next message that is no event of the feed; None at the end."""
    text = ""
    while True:
        for event in client.events():
            if isinstance(event, CloseConnection | RejectConnection):
                return None
            if isinstance(event, Ping):
                connection.sendall(client.send(event.response()))
            if isinstance(event, Message):
                text += str(event.data)
                if event.message_finished:
                    rows, text = msgspec.json.decode(text, type=list[msgspec.Raw]), ""
                    for row in rows:
                        if not bytes(row).startswith(_FEED):
                            return bytes(row)
        if not _read_into(connection, client):
            return None


def _until(connection: socket.socket, client: WSConnection, kind: type) -> bool:
    while True:
        for event in client.events():
            return isinstance(event, kind)
        if not _read_into(connection, client):
            return False


def _read_into(connection: socket.socket, client: WSConnection) -> bool:
    try:
        data = connection.recv(READ_SIZE)
    except TimeoutError as error:
        raise Violation("hang", "no answer over WebSocket") from error
    client.receive_data(data or None)
    return bool(data)


def _talk(connection: socket.socket, whole: bytes, *, until: bytes, is_half: bool = False) -> bytes:
    """Send, and read to the end, or until something has come."""
    received = b""
    try:
        connection.sendall(whole)
        if is_half:
            connection.shutdown(socket.SHUT_WR)
        while not (until and until in received):
            data = connection.recv(READ_SIZE)
            if not data:
                break
            received += data
    except TimeoutError as error:
        raise Violation(
            "hang", f"{received[-200:]!r} is all that came for {whole!r:.400}"
        ) from error
    except ConnectionError:
        pass
    return received
