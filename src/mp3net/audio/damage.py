"""How much of a recording is missing, where, and why, in words that a musician understands."""

from __future__ import annotations

from dataclasses import dataclass, field

from mp3net.words import counted

WORTH_TELLING_SHARE, WORTH_TELLING_S, CODEC_S = 0.01, 2.0, 0.1
"""Missing music is told from 1 % or 2 s on, whichever is less; below 0.1 s it may be what encoders put around the music."""
SHOWN_PLACES = 3
TOGETHER_S = 1.0


@dataclass(frozen=True)
class Gap:
    """`lost_s` seconds that could not be decoded, `at_s` seconds into what was."""

    at_s: float
    lost_s: float


@dataclass
class Damage:
    """What became of one recording.

    `promised_s` is what its headers promise, if they do. `elsewhere_s` is what could not be decoded at unknown places.
    `ended` is false if the file breaks off without its mark of the end or within a packet, so that nobody knows how much
    followed.
    """

    decoded_s: float = 0.0
    promised_s: float | None = None
    gaps: list[Gap] = field(default_factory=list)
    elsewhere_s: float = 0.0
    ended: bool = True

    def skip(self, at_s: float, lost_s: float) -> None:
        """Note that something could not be decoded; places close to each other become one."""
        if self.gaps and at_s - self.gaps[-1].at_s < TOGETHER_S:
            last = self.gaps.pop()
            at_s, lost_s = last.at_s, last.lost_s + lost_s
        self.gaps.append(Gap(at_s, lost_s))

    def joined(self, after: Damage) -> Damage:
        """This part, followed by another."""
        promised = [part.promised_s if part.promised_s is not None else part.decoded_s for part in (self, after)]
        known = self.promised_s is not None or after.promised_s is not None
        return Damage(
            self.decoded_s + after.decoded_s,
            sum(promised) if known else None,
            self.gaps + [Gap(gap.at_s + self.decoded_s, gap.lost_s) for gap in after.gaps],
            self.elsewhere_s + after.elsewhere_s,
            after.ended,
        )

    @property
    def skipped_s(self) -> float:
        return self.elsewhere_s + sum(gap.lost_s for gap in self.gaps)

    @property
    def missing_s(self) -> float:
        return max(self.skipped_s, (self.promised_s or 0.0) - self.decoded_s)

    def __str__(self) -> str:
        """A sentence; empty if nothing worth telling is missing."""
        whole_s = self.decoded_s + self.missing_s
        told = self.missing_s > max(CODEC_S, min(WORTH_TELLING_SHARE * whole_s, WORTH_TELLING_S))
        said = [f"{_seconds(self.missing_s)} of {_seconds(whole_s)} are missing: {self._where()}"] if told else []
        if not self.ended and self.missing_s - self.skipped_s <= CODEC_S:
            said.append(f"the file breaks off at {_clock(self.decoded_s)} (an unfinished download or copy?): what followed "
                        "is not there")  # fmt: skip
        return "; ".join(said)

    def _where(self) -> str:
        places = list(dict.fromkeys(_clock(gap.at_s) for gap in self.gaps))
        more = f" and {counted(len(places) - SHOWN_PLACES, 'more place')}" if len(places) > SHOWN_PLACES else ""
        where = f"at {', '.join(places[:SHOWN_PLACES])}{more}" if places else "at places that the file does not tell"
        damaged = f"damaged {where}"
        at_the_end_s = self.missing_s - self.skipped_s
        if at_the_end_s <= CODEC_S:
            return damaged
        early = f"the file ends {_seconds(at_the_end_s)} early (an unfinished download, copy or recording?)"
        return f"{damaged}; {early}" if self.skipped_s > CODEC_S else early


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _clock(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
