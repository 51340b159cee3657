"""Bytes to lines: the framing of every connection.  One split per read (E6).

A line ends with a line feed; a carriage return before it is JSON white space, and a blank
line is nothing at all.  Every line handed out is valid UTF-8 and within the limit, so that
nothing longer is ever decoded, and no more than one limit's worth is ever kept.
"""

from exchange.wire.errors import FramingError

REQUEST_BYTES_MAX = 1 << 16  # interfaces section 1
ANSWER_BYTES_MAX = 1 << 26  # an answer may hold a whole market: 10**6 levels of about 60 bytes


class LineSplitter:
    """Collects the reads of one connection and hands out its complete lines."""

    def __init__(self, bytes_max: int = REQUEST_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []  # of a line whose end has not come; no line feed in them
        self._size = 0  # == sum of the parts, <= bytes_max
        self._is_broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without their line feeds.

        Raises FramingError for an oversize line or bad UTF-8; it carries the good lines
        before.  Nothing may be fed after it.
        """
        assert not self._is_broken, "fed after a framing error"
        total = self._size + len(data)  # no line can be longer
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._parts:
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts.clear()
            self._size = 0
        if total > self._bytes_max or not data.isascii() or self._has_high(lines):
            self._check(lines)
        if rest:
            self._keep(rest, lines)
        return [line for line in lines if line and line != b"\r"]

    def widen(self, bytes_max: int) -> None:
        """Allow longer lines from now on: the first line has said who is there."""
        self._bytes_max = bytes_max

    def check(self) -> None:
        """Assert the invariants."""
        assert self._size == sum(map(len, self._parts)), "size kept"
        assert self._size <= self._bytes_max, "kept within the limit"

    def _has_high(self, lines: list[bytes]) -> bool:
        """Tell whether the first line, part of it from earlier reads, is not plain ASCII."""
        return bool(lines) and not lines[0].isascii()

    def _keep(self, rest: bytes, lines: list[bytes]) -> None:
        if self._size + len(rest) > self._bytes_max:
            raise self._broken("line_too_long", self._too_long(), lines)
        self._parts.append(rest)
        self._size += len(rest)
        if len(self._parts) > 64:  # one byte a second must not cost a list entry each
            self._parts = [b"".join(self._parts)]

    def _check(self, lines: list[bytes]) -> None:
        """Raise for the first bad line."""
        for index, line in enumerate(lines):
            if len(line) > self._bytes_max:
                raise self._broken("line_too_long", self._too_long(), lines[:index])
            try:
                line.decode()
            except UnicodeDecodeError as error:
                detail = f"the line is not UTF-8 at byte {error.start}"
                raise self._broken("not_utf8", detail, lines[:index]) from None

    def _too_long(self) -> str:
        return f"a line is at most {self._bytes_max} bytes"

    def _broken(self, code: str, detail: str, lines: list[bytes]) -> FramingError:
        self._is_broken = True
        self._parts.clear()
        self._size = 0
        return FramingError(code, detail, [line for line in lines if line and line != b"\r"])
