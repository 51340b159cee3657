"""The log of a server: one event a line, with a fixed name, for people or for programs.

Theory of operation
===================
Whoever has something to tell makes an `Event`: a sentence for people, which has a name and
fields for programs.  It is a string, so anything that takes lines takes events.  `Log` writes
them on stderr: as JSON where that is no terminal, else as text.

    level    | text on a terminal          | with --log-level
    ---------+-----------------------------+--------------------------------
    notice   | the sentence alone          | always; JSON calls it "info"
    debug .. | time, level and sentence    | from that level up
    error    |                             | always

Nothing that a client or a peer sends can forge a line: JSON escapes it, and the text form
escapes whatever does not print.  Keys and join tokens are masked, should one ever get into an
event.  What others can cause is limited per minute, so that nobody fills a disk with it, nor
a link that is refused every second; the next line says how many were left out.
"""

import datetime
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, TextIO, TypeVar

import click
import msgspec
import structlog

Level = Literal["debug", "info", "notice", "warning", "error"]
RANKS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "notice": 50}
STRANGERS = 20  # lines a minute of one event that anybody can cause
REPEATS = 2  # the same of a link that is dialed again every second, for each peer
TRACEBACK = "traceback"
NOTE = "note"
FAILED = "failed"
_SECRET = re.compile(
    r"(?<![A-Za-z0-9_-])"
    r"(?:[0-9]{1,4}-[0-9]{1,16}\.|[0-9a-f]{64}\.)?[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
)
_JSON = structlog.processors.JSONRenderer()
EventDict = MutableMapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

EVENTS: dict[str, tuple[Level, str]] = {
    "node_ready": ("notice", "A node serves clients."),
    "coordinator_ready": ("notice", "A coordinator serves."),
    "gateway_ready": ("notice", "A gateway serves."),
    "operator_key_made": ("notice", "Where the operator's key is; at the first start."),
    "next_step": ("notice", "What to type next; at the first start."),
    "certificate_made": ("notice", "A development certificate for HTTPS was made."),
    "certificate_used": ("notice", "The fingerprint of the certificate that HTTPS shows."),
    "certificate_unusable": ("error", "Changed files are none; HTTPS goes on with the old ones."),
    "topic_refused": ("warning", "A node tells no more of a topic; its subscribers are told so."),
    FAILED: ("notice", "Why a process ends; the last line before its exit code."),
    "redo_progress": ("info", "How far a long redo is; told every five seconds."),
    "log_opened": ("info", "The log is open and redone; what that took."),
    "node_stopping": (
        "info",
        "A stop was asked for: no new orders, what is in doubt is waited for.",
    ),
    "node_stopped": ("info", "All is forced, with a checkpoint; the next start redoes nothing."),
    "force_failed": ("error", "A forced write failed: the log is opened again (E4)."),
    "endpoints_unwritten": ("warning", "`endpoints.json` cannot be written."),
    "storage_full": ("error", "New orders are refused for want of room (W7)."),
    "storage_free": ("info", "There is room for new orders again."),
    "checkpoint_slow": ("warning", "A forced checkpoint took long: the disk is slow or busy."),
    "committer_chosen": ("info", "The disk became slower or faster: who forces has changed."),
    "peer_synced": ("info", "A peer's orders are in the book, for the first time since the start."),
    "peer_returned": ("info", "A peer that was suspected or set aside is synced again."),
    "stood_still": (
        "warning",
        "The node was stopped, suspended or stuck for more than 3 s: it begins anew (B5).",
    ),
    "peer_suspected": ("warning", "A peer is not heard of: its orders are not matched (B5)."),
    "peer_slow": ("warning", "A peer is alive and too slow: nobody waits for it (B5)."),
    "peer_quarantined": ("error", "A peer broke the rules: no new offers from or to it (B7)."),
    "clock_set": ("warning", "The wall clock of this node was set, by a second or more (S2)."),
    "clock_ahead": ("error", "It is more than a minute ahead of those of all peers (S2)."),
    "clock_behind": ("error", "It is more than a minute behind those of all peers (S2)."),
    "clock_right": ("info", "It agrees with that of a peer again, or no peer is linked."),
    "peer_clock": ("warning", "The wall clock of a peer is more than a minute from this node's."),
    "stamps_ahead": (
        "warning",
        "Stamps are ahead of the wall clock, because one was wrong once; nothing need be done.",
    ),
    "coordinator_unproven": (
        "error",
        "What listens at the coordinator's address does not know the cluster's secret.",
    ),
    "peer_certificate": ("error", "What listens at a peer's address shows another certificate."),
    "link_ended": ("info", "A connection to a peer ended; it comes again by itself."),
    "link_refused": ("warning", "A node, or what pretends to be one, may not link."),
    "offer_in_doubt": (
        "warning",
        "An offer has had no answer for a minute; told every minute (S4).",
    ),
    "alarm": ("error", "What the engine wants an operator to hear."),
    "handshake_refused": ("warning", "A connection broke TLS or the framing of lines."),
    "keys_ended": ("info", "Keys of accounts were revoked or replaced, or their account closed."),
    "connection_failed": ("error", "A connection met a bug; the others go on."),
    "request_failed": ("error", "A request met a bug; the others go on."),
    "gateway_failed": ("error", "The gateway met a bug and begins again."),
    "coordinator_away": ("warning", "The coordinator cannot be reached: no new accounts or nodes."),
    "registration_refused": ("error", "The coordinator is there and does not take this node."),
    "certificate_renewed": ("info", "The certificate of a node is renewed."),
    "certificate_unrenewed": ("warning", "It is not, and is tried again."),
    "member_refused": ("warning", "The coordinator refused a node."),
    "member_live": ("info", "A node registered with the coordinator."),
    "member_gone": ("info", "A node's connection to the coordinator ended."),
    "registry_alarm": ("error", "What the coordinator wants an operator to hear."),
    NOTE: ("info", "A line without a name."),
}
# Lines a minute of events that others can cause, counted for each peer or each code of an alarm.
LIMITED = {
    "handshake_refused": STRANGERS,
    "topic_refused": STRANGERS,
    "link_refused": STRANGERS,
    "connection_failed": STRANGERS,
    "request_failed": STRANGERS,
    "member_refused": STRANGERS,
    "link_ended": REPEATS,
    "peer_clock": REPEATS,
    "clock_ahead": REPEATS,
    "clock_behind": REPEATS,
    "clock_right": REPEATS,
    "alarm": STRANGERS,
    "peer_certificate": REPEATS,
}


class Event(str):
    """A sentence for people; its name and fields are for programs."""

    __slots__ = ("fields", "name")

    name: str
    fields: Mapping[str, object]

    def __new__(cls, name: str, text: str, /, **fields: object) -> "Event":
        """Make an event that `EVENTS` lists."""
        assert name in EVENTS, f"{name} is no event of the catalogue"
        event = super().__new__(cls, text)
        event.name = name
        event.fields = fields
        return event


class LogSettings(msgspec.Struct, frozen=True):
    """How to write the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    form: Literal["auto", "json", "text"] = "auto"


class Log:
    """Writes events, one a line; see the theory of operation above."""

    def __init__(
        self,
        settings: LogSettings,
        *,
        stream: TextIO | None = None,
        wall_us: Callable[[], int],
        mono_us: Callable[[], int],
    ) -> None:
        self._stream = stream
        self._threshold = RANKS[settings.level]
        self._wall_us = wall_us
        self._mono_us = mono_us
        self._is_json = settings.form == "json" or (
            settings.form == "auto" and not self._target.isatty()
        )
        self._minutes: dict[tuple[str, object], list[int]] = {}  # minute, written, left out
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(self._target),
            processors=[
                _masked,
                _as_json if self._is_json else _as_text,
            ],
            wrapper_class=structlog.BoundLogger,
        )

    def __call__(self, line: str) -> None:
        """Write an event; a line that is none is a note."""
        event = line if isinstance(line, Event) else Event(NOTE, line)
        level, _ = EVENTS[event.name]
        if RANKS[level] < self._threshold:
            return
        fields = dict(event.fields)
        if event.name in LIMITED and not self._has_room(event.name, fields):
            return
        self._logger.bind(
            ts=_time_text(self._wall_us()),
            level=level,
            message=str(event),
            **fields,
        ).msg(event.name)

    @property
    def _target(self) -> TextIO:
        return self._stream if self._stream is not None else sys.stderr

    def _has_room(self, name: str, fields: dict[str, object]) -> bool:
        minute = self._mono_us() // 60_000_000
        about = fields.get("peer", fields.get("code"))  # both are few
        entry = self._minutes.setdefault((name, about), [minute, 0, 0])
        if entry[0] != minute:
            entry[0], entry[1] = minute, 0
        if entry[1] >= LIMITED[name]:
            entry[2] += 1
            return False
        entry[1] += 1
        if entry[2]:
            fields["left_out"], entry[2] = entry[2], 0
        return True


def options(function: F) -> F:
    """Give a command the settings of its log."""
    function = click.option(
        "--log-format",
        type=click.Choice(["auto", "json", "text"]),
        default="auto",
        envvar="EXCHANGE_LOG_FORMAT",
        help="JSON lines or text on stderr; auto is text on a terminal.",
    )(function)
    return click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        envvar="EXCHANGE_LOG_LEVEL",
        help="The least that is logged.",
    )(function)


def _time_text(wall_us: int) -> str:
    moment = datetime.datetime.fromtimestamp(wall_us / 1e6, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _masked(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Mask what looks like a key or a token, wherever it stands; JSON knows no notices."""
    return {
        name: _SECRET.sub("***", value) if isinstance(value, str) else value
        for name, value in line.items()
    }


def _as_json(logger: object, method: str, line: EventDict) -> str | bytes:
    if line["level"] == "notice":
        line["level"] = "error" if line["event"] == FAILED else "info"
    line = {"ts": line.pop("ts"), "level": line.pop("level"), "event": line.pop("event"), **line}
    return _JSON(logger, method, line)


def _as_text(_logger: object, _method: str, line: EventDict) -> str:
    """Write the sentence; a traceback below it, each of its lines marked as such."""
    text = printable(line["message"])
    if line["level"] != "notice":
        text = f"{line['ts'][:19]}Z {line['level']:<7} {text}"
    if "left_out" in line:
        text += f" ({line['left_out']} like it left out)"
    below = str(line.get(TRACEBACK, "")).splitlines()
    return "\n".join([text, *(f"    | {printable(each)}" for each in below)])


def printable(text: str) -> str:
    """Escape what does not print: nobody's text may move the cursor or begin a line."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
