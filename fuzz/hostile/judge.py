"""Says what is wrong with an answer; nothing, if it may be given to anybody."""

import re
from collections.abc import Sequence

import msgspec

from fuzz.violation import Violation

TRACES = (b"Traceback", b'File "', b"site-packages", b".py", b"0x7f", b"<class", b"BEGIN ")
STATUSES = {
    101,
    200,
    201,
    204,
    207,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    415,
    417,
    422,
    426,
    429,
    431,
    503,
}
PROBLEM = {"type", "title", "status", "code", "detail"}
MEMBERS = {"id", "type", "value", "lsn", "visible", "replayed"}
_CODE = re.compile(r"\A[a-z0-9_]{1,64}\Z")
ECHO_MAX = 2_000  # characters of a detail


class Judge:
    """Knows what nobody may be told."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]

    def leaks(self, sent: bytes, answer: bytes) -> None:
        """Refuse an answer with a secret or a trace in it; an echo of what was sent is none."""
        for secret in self._secrets:
            if secret in answer and secret not in sent:
                raise Violation("leak", f"{secret!r} in {answer[:400]!r}")
        for trace in TRACES:
            if trace in answer and trace not in sent:
                raise Violation("leak", f"{trace!r} in {answer[:400]!r}")

    def line(self, answer: bytes) -> object:
        """Return an answer of line-JSON, if it is of the documented form."""
        try:
            value = msgspec.json.decode(answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Violation("form", f"no JSON: {answer[:400]!r}") from error
        if isinstance(value, dict) and "type" in value:
            self._rich(value, answer)
        return value

    def problem(self, status: int, content_type: str, body: bytes) -> None:
        """Look at the answer to an HTTP request."""
        if status not in STATUSES:
            raise Violation("form", f"status {status}: {body[:400]!r}")
        if status < 400:
            return
        try:
            problem = msgspec.json.decode(body)
        except msgspec.MsgspecError as error:
            raise Violation("form", f"no problem: {status} {body[:400]!r}") from error
        is_whole = isinstance(problem, dict) and problem.keys() >= PROBLEM
        if content_type != "application/problem+json" or not is_whole:
            raise Violation("form", f"no problem: {status} {content_type} {body[:400]!r}")
        if problem["status"] != status or not _CODE.match(problem["code"]):
            raise Violation("form", f"another status or code: {status} {body[:400]!r}")

    def _rich(self, value: dict[str, object], answer: bytes) -> None:
        if value["type"] == "feed":
            return
        if not value.keys() <= MEMBERS:
            raise Violation("form", f"unknown members: {answer[:400]!r}")
        if value["type"] != "error":
            return
        told = value.get("value")
        if not isinstance(told, dict) or told.keys() != {"code", "title", "detail"}:
            raise Violation("form", f"no error: {answer[:400]!r}")
        if not _CODE.match(told["code"]) or len(told["detail"]) > ECHO_MAX:
            raise Violation("form", f"code or detail: {answer[:400]!r}")
