"""Pace: how quickly a peer shows and answers, and when it is too slow to be waited for (B3, B5).

Theory of operation
===================
A peer that is alive and slow (a swapping machine, a full link, a failing disk) is no dead one:
it applies something within 3 s, again and again, and so is never suspected.  But every
acknowledgement of every node would wait for it.  So beyond a bound it is **set aside**:

    waited for | nothing waits for it: no acknowledgement, no `wait: done`
    matched    | its orders leave matching, as those of a suspected peer do
    link       | stays up: stream, offers, replies and acks go on, so that it can catch up
    told       | it hears so in heartbeats, and does not count on this node either

How late it is, is measured by probes, one at a time: the stream as it is now, until the peer
has applied it; and by the oldest offer it has not answered.  It is set aside when

    one probe is older than the bound (`--visible-within`, by default 1 s), or
    all probes of SUSTAINED_US were slower than is usual for this peer, or
    an offer is older than OFFER_LATE_US and the bound.

Time in which this node itself did nothing (its own core, disk or turn) counts for nobody.
It comes back once it has been quick (half of that) without a break for a while, which
doubles each time that it was set aside again soon (no flapping).
"""

from exchange.domain.units import Seq

VISIBLE_WITHIN_US = 1_000_000  # a third of what makes a silent peer suspected (B5)
USUAL_TIMES = 8  # slower than so many times its usual pace is slow ...
USUAL_MIN_US = 250_000  # ... but never less than this: a checkpoint or a busy core takes as long
SUSTAINED_US = 2_000_000
OWN_STALL_US = 500_000  # twice a tick: this node had no core, or a long turn
OFFER_LATE_US = 2_000_000  # an offer is answered behind a force; disks have their moments
CALM_MIN_US = 2_000_000
CALM_MAX_US = 16_000_000
RELAPSE_US = 60_000_000  # sooner than this is again
SMOOTHING = 8  # probes that its usual pace is an average of


class Pace:
    """How quick one peer is.  Times are microseconds of the monotonic clock."""

    def __init__(self, within_us: int) -> None:
        self.is_aside = False
        self._within_us = within_us or VISIBLE_WITHIN_US
        self._is_fixed = within_us > 0
        self._usual_us = -1  # -1: not known yet
        self._probe_seq = Seq(-1)  # of our stream; what the peer must have applied ...
        self._probe_us = 0  # ... since then; 0: no probe is under way
        self._offer: object = None  # the oldest that it has not answered ...
        self._offer_us = 0  # ... since then
        self._slow_since_us = 0  # all probes since then were slow; 0: the last was not
        self._slow_until_us = 0  # ... as far as is known
        self._quick_since_us = 0
        self._calm_us = CALM_MIN_US
        self._aside_us = -RELAPSE_US  # when it was set aside last

    def begin(self) -> None:
        """Forget what is under way: another session begins, with nothing sent on it."""
        self._probe_us = 0
        self._offer = None

    def sent(self, seq: Seq, now_us: int) -> None:
        """Note that the stream up to `seq` is on its way; starts a probe if none is under way."""
        if not self._probe_us:
            self._probe_seq, self._probe_us = seq, now_us

    def applied(self, seq: Seq, now_us: int) -> None:
        """Note how far the peer shows the stream; a probe may end, and say how slow it is."""
        if not self._probe_us or seq < self._probe_seq:
            return
        took_us, self._probe_us = now_us - self._probe_us, 0
        if took_us > self._slow_us:
            self._note_slow(now_us - took_us, now_us)
            return
        self._slow_since_us = self._slow_until_us = 0
        if self._usual_us < 0:
            self._usual_us = took_us
        self._usual_us += (took_us - self._usual_us) // SMOOTHING

    def stood_still(self, own_us: int) -> None:
        """Leave out of account for how long this node itself did nothing: no fault of a peer."""
        if own_us > OWN_STALL_US:
            self._probe_us += own_us if self._probe_us else 0
            self._offer_us += own_us

    def look(self, now_us: int, oldest_offer: object) -> None:
        """Decide whether it is set aside; call it at least at every tick."""
        if oldest_offer != self._offer:
            self._offer, self._offer_us = oldest_offer, now_us
        probe_us = now_us - self._probe_us if self._probe_us else 0
        offer_us = now_us - self._offer_us if self._offer is not None else 0
        if probe_us > self._slow_us:
            self._note_slow(self._probe_us, now_us)
        if 2 * probe_us > self._slow_us or 2 * offer_us > self._offer_late_us:
            self._quick_since_us = now_us
        if self.is_aside:
            if now_us - self._quick_since_us >= self._calm_us:
                self.is_aside = False
                self._slow_since_us = self._slow_until_us = 0
        elif (
            probe_us > self._within_us
            or offer_us > self._offer_late_us
            or self._slow_until_us - self._slow_since_us > SUSTAINED_US
        ):
            self._set_aside(now_us)

    def _note_slow(self, since_us: int, now_us: int) -> None:
        self._slow_since_us = self._slow_since_us or since_us
        self._slow_until_us = self._quick_since_us = now_us

    def _set_aside(self, now_us: int) -> None:
        is_again = now_us - self._aside_us < RELAPSE_US
        self._calm_us = min(2 * self._calm_us, CALM_MAX_US) if is_again else CALM_MIN_US
        self._aside_us = self._quick_since_us = now_us
        self._slow_since_us = self._slow_until_us = 0
        self.is_aside = True

    @property
    def _slow_us(self) -> int:
        """Return what is slow for this peer: the bound, if an operator has set it."""
        if self._is_fixed or self._usual_us < 0:
            return self._within_us
        return min(max(USUAL_TIMES * self._usual_us, USUAL_MIN_US), self._within_us)

    @property
    def _offer_late_us(self) -> int:
        return max(self._within_us, OFFER_LATE_US)
