"""Which handler a method and a path lead to.

A path is cut at its slashes as it came and each segment is decoded for itself, so a value may
hold anything: `/v1/book/BTC%2FUSD` is the book of `BTC/USD`.  A template's segment is a
word or the name of a value; words win.  What is known of a path is told alike by OPTIONS, by
405 and by `Allow`: HEAD goes wherever GET goes.
"""

from urllib.parse import unquote_to_bytes

from exchange.gateway.http.messages import Endpoint, Reply, Request, Upgrade
from exchange.gateway.http.problems import ProblemError, refuse

SEGMENTS_MAX = 16
_HEX = frozenset(b"0123456789abcdefABCDEF")
Target = Endpoint | Upgrade
Found = tuple[Target, dict[str, str]]


class _Place:
    """A segment of the paths that there are."""

    def __init__(self) -> None:
        self.words: dict[str, _Place] = {}
        self.value: tuple[str, _Place] | None = None  # its name, and what comes after it
        self.targets: dict[str, Target] = {}  # by method


class Router:
    """All paths."""

    def __init__(self) -> None:
        self._root = _Place()

    def add(self, method: str, template: str, target: Target) -> None:
        """Know a method of a path such as `/v1/book/{symbol}`."""
        place = self._root
        for segment in template.split("/")[1:]:
            if segment.startswith("{"):
                name = segment.strip("{}")
                if place.value is None:
                    place.value = (name, _Place())
                assert place.value[0] == name, "a value has one name, whatever follows it"
                place = place.value[1]
            else:
                place = place.words.setdefault(segment, _Place())
        assert method not in place.targets, f"{method} {template} leads to one handler"
        place.targets[method] = target

    def find(self, method: str, path: bytes) -> Found:
        """Return what a request leads to, and the values in its path; ProblemError: 400, 404, 405.

        HEAD leads where GET does.
        """
        if method == "OPTIONS" and path == b"*":
            return _options("DELETE, GET, HEAD, OPTIONS, PATCH, POST"), {}
        place, values = self._place(path)
        target = place.targets.get("GET" if method == "HEAD" else method)
        if isinstance(target, Upgrade) and method == "HEAD":
            target = None
        if target is not None:
            return target, values
        allowed = _allowed(place)
        if method == "OPTIONS":
            return _options(allowed), {}
        told = f"this path does not know this method, but {allowed}"
        raise refuse(405, "method_not_allowed", told, headers={"Allow": allowed})

    def _place(self, path: bytes) -> tuple[_Place, dict[str, str]]:
        segments = path.split(b"/")
        if segments[0] or not 1 < len(segments) <= SEGMENTS_MAX:
            raise _nothing()
        place, values = self._root, {}
        for raw in segments[1:]:
            segment = _decoded(raw)
            word = place.words.get(segment)
            if word is not None:
                place = word
            elif place.value is not None and segment:
                values[place.value[0]] = segment
                place = place.value[1]
            else:
                raise _nothing()
        if not place.targets:
            raise _nothing()
        return place, values


def _decoded(segment: bytes) -> str:
    """Decode a segment; 400 if it is not well-formed: nobody shall read it differently."""
    if b"%" in segment:
        for part in segment.split(b"%")[1:]:
            if len(part) < 2 or not _HEX.issuperset(part[:2]):
                raise refuse(400, "malformed_request", "the path has a `%` without two digits")
        segment = unquote_to_bytes(segment)
    try:
        return segment.decode()
    except UnicodeDecodeError as error:
        raise refuse(400, "malformed_request", "the path is not UTF-8") from error


def _allowed(place: _Place) -> str:
    methods = {*place.targets, "OPTIONS"}
    if isinstance(place.targets.get("GET"), Endpoint):
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def _options(allowed: str) -> Endpoint:
    async def options(_request: Request) -> Reply:
        return Reply(b"", 204, {"Allow": allowed})

    return Endpoint(options)


def _nothing() -> ProblemError:
    return refuse(404, "not_found", "there is nothing at this path")
