"""What trajectory costs in seconds of computing, and after how much of it a thing that had to be made has paid."""

from __future__ import annotations

from dataclasses import dataclass

from asteroid_nb.errors import InvalidSettings


@dataclass(frozen=True, kw_only=True)
class Price:
    """Seconds of computing that trajectory takes.

    Args:
        once_s: before the first of it: simulating what is learnt from, and learning.
        per_fs_s: for each fs of it.

    Raises:
        InvalidSettings: either is negative or no number.
    """

    once_s: float = 0.0
    per_fs_s: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise InvalidSettings(f"{name} was {value!r}; seconds must be 0 or more.")

    def seconds(self, length_fs: float) -> float:
        """Return what so much trajectory takes.

        >>> Price(once_s=60.0, per_fs_s=0.5).seconds(10.0)
        65.0
        """
        return self.once_s + self.per_fs_s * length_fs

    def after(self, seconds: float) -> Price:
        """Return the price where so many more seconds come first."""
        return Price(once_s=self.once_s + seconds, per_fs_s=self.per_fs_s)

    def earned_back_fs(self, rival: Price) -> float:
        """Return how much trajectory makes this the cheaper of the two: 0 from the start on, infinite never.

        >>> Price(once_s=60.0, per_fs_s=0.1).earned_back_fs(Price(per_fs_s=0.7))
        100.0
        """
        more, saved = self.once_s - rival.once_s, rival.per_fs_s - self.per_fs_s
        if more <= 0 <= saved:
            return 0.0
        return max(more, 0.0) / saved if saved > 0 else float("inf")

    def of_what_is_right(
        self, simulation: Price, *, history_fs: float, horizon_fs: float, right_for_fs: float
    ) -> Price:
        """Return the price where each forecast needs a history, which is simulated, and is used while it is right.

        Args:
            simulation: what a fs of history takes.
            history_fs: that a forecast must see.
            horizon_fs: that it forecasts, all of which is computed.
            right_for_fs: of it, before its error is too large.
        """
        if not right_for_fs > 0:
            return Price(once_s=self.once_s, per_fs_s=float("inf"))
        each_s = self.per_fs_s * horizon_fs + simulation.per_fs_s * history_fs
        return Price(once_s=self.once_s, per_fs_s=each_s / right_for_fs)
