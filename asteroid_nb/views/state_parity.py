"""Do two sets of numbers agree: passage times on a diagonal, and a difference with its interval around zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.style import MAIN_COLOUR, MARKERS, PALETTE, TEXT, number, plain, translucent
from asteroid_nb.views.time_units import TimeUnit, time_unit, time_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Relative errors whose bands are drawn: the median shall lie within the first, the worst within the second.
WITHIN = (0.2, 0.4)


def passage_parity(
    reference: np.ndarray,
    models: Mapping[str, np.ndarray],
    labels: Sequence[str],
    *,
    reference_name: str = "exact",
    title: str = "Passage times",
    subtitle: str = "",
) -> Figure:
    """Draw the passage times of models against those of the reference, both logarithmic.

    Args:
        reference: [states, states] fs from row to column; what is not finite, or not positive, is left out.
        models: per name [states, states] fs.
        labels: one per state.
        reference_name: what the reference is.
        title: of the figure.
        subtitle: of the figure; says what the bands are when not given.
    """
    from plotly.graph_objects import Figure

    reference = np.asarray(reference, dtype=float)
    known = {name: _known(reference, np.asarray(times, dtype=float)) for name, times in models.items()}
    everything = [times[known[name]] for name, times in models.items()] + [reference[one] for one in known.values()]
    unit = time_unit(np.concatenate(everything)) if everything else time_unit([1.0])
    axis = log_axis(np.concatenate([*everything, []]) / unit.fs, margin=1.5)
    low, high = 10 ** np.array(axis["range"])
    fig = Figure()
    _add_bands(fig, low, high)
    for index, (name, times) in enumerate(models.items()):
        _add_pairs(fig, name, reference, np.asarray(times, dtype=float), known[name], labels, unit, index)
    fig.update_xaxes(title_text=f"{plain(reference_name)} ({unit.name})", **axis)
    fig.update_yaxes(title_text=f"model ({unit.name})", **axis)
    alt = _pairs_in_words(reference, models, known, labels, reference_name)
    under = subtitle or f"bands: {' and '.join(f'±{share:.0%}' for share in WITHIN)}"
    return framed(fig, title=title, subtitle=under, alt=alt, height=540)


def _known(reference: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return which pairs are two states, and passed by both."""
    with np.errstate(invalid="ignore"):
        found = np.isfinite(reference) & np.isfinite(times) & (reference > 0) & (times > 0)
    return found & ~np.eye(len(reference), dtype=bool)


def _add_bands(fig: Figure, low: float, high: float) -> None:
    ends = np.array([low, high])
    for share, opacity in zip(WITHIN[::-1], (0.12, 0.18), strict=True):
        fig.add_scatter(
            x=np.concatenate([ends, ends[::-1]]), y=np.concatenate([ends * (1 + share), ends[::-1] * (1 - share)]),
            mode="lines", line={"width": 1, "color": TEXT, "dash": "dot"}, fill="toself", hoverinfo="skip",
            fillcolor=translucent("#808080", opacity), name=f"within {share:.0%}", showlegend=False,
        )  # fmt: skip
    line = {"color": TEXT, "width": 2}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, name="the same", hoverinfo="skip", showlegend=False)


def _add_pairs(
    fig: Figure,
    name: str,
    reference: np.ndarray,
    times: np.ndarray,
    known: np.ndarray,
    labels: Sequence[str],
    unit: TimeUnit,
    index: int,
) -> None:
    pairs = [f"{plain(labels[a])} → {plain(labels[b])}" for a, b in np.argwhere(known)]
    off = [f"{ratio - 1:+.0%}".replace("-", "−") for ratio in times[known] / reference[known]]
    colour = (MAIN_COLOUR, *PALETTE)[index % (len(PALETTE) + 1)]
    fig.add_scatter(
        x=reference[known] / unit.fs, y=times[known] / unit.fs, mode="markers", name=plain(name, 26),
        text=[f"{pair}, {error}" for pair, error in zip(pairs, off, strict=True)],
        marker={"symbol": f"{MARKERS[index % len(MARKERS)]}-open", "size": 11, "color": colour, "line": {"width": 2.2}},
        hovertemplate=f"%{{text}}: %{{y:.4~g}} for %{{x:.4~g}} {unit.name}",
    )  # fmt: skip


def _pairs_in_words(
    reference: np.ndarray,
    models: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    labels: Sequence[str],
    reference_name: str,
) -> str:
    parts = []
    n_pairs = len(labels) * (len(labels) - 1)
    for name, times in models.items():
        pairs = np.argwhere(known[name])
        if not len(pairs):
            parts.append(f"{name}: none of {n_pairs} pairs was passed by both")
            continue
        off = np.abs(np.asarray(times, dtype=float)[known[name]] / reference[known[name]] - 1)
        a, b = pairs[off.argmax()]
        missing = f", {n_pairs - len(pairs)} of {n_pairs} pairs were never passed" if len(pairs) < n_pairs else ""
        parts.append(
            f"{name}: median error {np.median(off):.0%}, worst {off.max():.0%} ({labels[a]} → {labels[b]}, "
            f"{time_words(float(times[a, b]))} for {time_words(float(reference[a, b]))}){missing}"
        )
    return f"Passage times against {reference_name}. {'; '.join(parts) or f'no model beside {n_pairs} pairs'}."


def equivalence(
    difference: Any,
    low: Any,
    high: Any,
    *,
    seeds: Sequence[Sequence[float]] = (),
    rows: Sequence[str] = ("all",),
    row_title: str = "tokens",
    names: tuple[str, str] = ("Transformer", "LSTM"),
    level: float = 0.9,
    margin: float | None = None,
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw how much one model's slowest timescale differs from another's, as ln t2, with its interval and zero.

    Args:
        difference: of the natural logarithms, one number or [rows].
        low: where the interval begins, as ``difference``.
        high: where it ends.
        seeds: per row the differences of single seeds.
        rows: what each row is, such as its partition.
        row_title: what tells rows apart.
        names: which model minus which.
        level: of the interval.
        margin: differences nearer to zero than that count as the same; shaded.
        title: of the figure.
        subtitle: of the figure.

    Raises:
        ValueError: not one number and name per row.
    """
    from plotly.graph_objects import Figure

    middle, low, high = (np.atleast_1d(np.asarray(one, dtype=float)) for one in (difference, low, high))
    if not len(middle) == len(low) == len(high) == len(rows) or (seeds and len(seeds) != len(rows)):
        raise ValueError(
            f"Found {len(middle)} differences, {len(low)} and {len(high)} ends of intervals, {len(seeds)} sets of "
            f"seeds and {len(rows)} rows. Give one of each per row."
        )
    fig, y = Figure(), np.arange(len(rows))
    if margin is not None:
        fig.add_vrect(x0=-margin, x1=margin, fillcolor="rgba(128,128,128,0.15)", line_width=0, layer="below")
    fig.add_vline(x=0, line={"color": TEXT, "width": 2, "dash": "dot"})
    for row, found in enumerate(seeds):
        fig.add_scatter(
            x=list(found), y=np.full(len(found), row + 0.22), mode="markers", name="one seed", showlegend=row == 0,
            legendgroup="seeds", marker={"symbol": "diamond-open", "size": 9, "color": PALETTE[0]},
            hovertemplate="%{x:+.3f}",
        )  # fmt: skip
    fig.add_scatter(
        x=middle, y=y, mode="markers", name=f"all seeds, {level:.0%} interval",
        marker={"size": 12, "color": MAIN_COLOUR},
        error_x={"type": "data", "symmetric": False, "array": high - middle, "arrayminus": middle - low, "width": 8,
                 "thickness": 3, "color": MAIN_COLOUR},
        text=[f"×{ratio:.2f}" for ratio in np.exp(middle)], hovertemplate="%{x:+.3f}, that is %{text}",
    )  # fmt: skip
    ends = np.concatenate([low, high, *map(np.ravel, seeds), [-(margin or 0.1), margin or 0.1]])
    reach = 1.15 * np.nanmax(np.abs(ends))
    fig.update_xaxes(title_text="difference in ln t2 (0.1 is about 10 %)", range=[-reach, reach], tickformat="+~g")
    fig.update_yaxes(
        tickvals=y,
        ticktext=[plain(row, 30) for row in rows],
        range=[len(rows) - 0.5, -0.6],
        title_text=plain(row_title),
        title_standoff=14,
        showgrid=False,
    )
    one, other = names
    facts = [_verdict(*numbers) for numbers in zip(middle, low, high, rows, strict=True)]
    alt = f"ln t2 of {one} minus that of {other}, with {level:.0%} intervals. {'; '.join(facts)}."
    return framed(fig, title=title or f"{one} − {other}", subtitle=subtitle, alt=alt, height=230 + 60 * len(rows))


def _verdict(middle: float, low: float, high: float, row: str) -> str:
    if not np.isfinite([middle, low, high]).all():
        return f"{row}: unknown"
    holds = "zero lies inside" if low <= 0 <= high else "zero lies outside"
    return f"{row}: {middle:+.3f} ({low:+.3f} to {high:+.3f}), a ratio of {number(float(np.exp(middle)))}; {holds}"
