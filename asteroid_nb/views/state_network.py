"""States as circles, the way between them as arrows; how often each is visited as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from asteroid_nb.views.state_frame import framed, hatched
from asteroid_nb.views.style import PALETTE, TEXT, plain
from asteroid_nb.views.time_units import UNITS, TimeUnit, time_unit, time_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: More arrows than these cannot be followed with the eye, more states not be told apart.
MOST_ARROWS, MOST_STATES = 20, 40

#: Diameter in pixels of a state that is always visited, and of the smallest; width of the thickest arrow and the least.
LARGEST_PX, SMALLEST_PX, THICK_PX, THIN_PX = 110.0, 30.0, 6.0, 1.2

#: Pixels between the arrows there and back, and of the figure.
APART_PX, HEIGHT_PX = 5, 520

#: Labels up to this long fit into a circle.
INSIDE = 3

Kind = Literal["rates", "passage times"]


def state_network(
    populations: Sequence[float] | np.ndarray,
    jumps: np.ndarray,
    labels: Sequence[str],
    *,
    kind: Kind = "rates",
    centres: np.ndarray | None = None,
    title: str = "States and the ways between them",
    subtitle: str = "",
) -> Figure:
    """Draw states as circles whose area tells how often they are visited, and jumps as arrows, the thicker the faster.

    Each circle carries its state as ``customdata``, so that a click can be answered.

    Args:
        populations: [states], sum to 1.
        jumps: [states, states] from row to column: rates in 1/fs, or passage times in fs; what is not finite or not
            positive is no way at all.
        labels: one per state.
        kind: what ``jumps`` are.
        centres: [states, 2] where the states lie, drawn there unless two would overlap; else on a circle.
        title: of the figure.
        subtitle: of the figure.

    Raises:
        ValueError: shapes that disagree, more states than can be drawn, another kind.
    """
    from plotly.graph_objects import Figure

    populations, jumps = np.asarray(populations, dtype=float), np.array(jumps, dtype=float)
    _check(populations, jumps, labels, kind)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = jumps if kind == "rates" else 1 / jumps
    rates = np.where(np.isfinite(rates) & (rates > 0) & ~np.eye(len(rates), dtype=bool), rates, 0.0)
    arrows, left_out = _strongest(populations[:, None] * rates, rates)
    places = _places(populations[:, None] * rates, centres)
    sizes = np.maximum(SMALLEST_PX, LARGEST_PX * np.sqrt(np.nan_to_num(populations)))
    unit = _unit(rates, kind)
    fig = Figure()
    for a, b in arrows:
        _add_arrow(fig, places, sizes, (a, b), _width(rates, rates[a, b]), _jump(rates[a, b], kind, unit))
    _add_circles(fig, places, sizes, populations, labels)
    hidden = {"visible": False, "showgrid": False}
    fig.update_xaxes(range=_around(places[:, 0]), **hidden)
    fig.update_yaxes(range=_around(places[:, 1]), scaleanchor="x", **hidden)
    notes = [f"numbers: {'1/' if kind == 'rates' else 'mean passage times in '}{unit.name}"] if arrows else []
    notes += [f"{left_out} of {left_out + len(arrows)} arrows, the least used, are left out"] if left_out else []
    alt = _network_in_words(populations, rates, labels, kind, arrows, left_out)
    under = "; ".join([*([subtitle] if subtitle else []), *notes])
    around = {"t": 70, "b": 10, "l": 10, "r": 10}
    return framed(fig, title=title, subtitle=under, alt=alt, height=HEIGHT_PX, margin=around, showlegend=False)


def _check(populations: np.ndarray, jumps: np.ndarray, labels: Sequence[str], kind: str) -> None:
    n_states = len(labels)
    if (
        populations.shape != (n_states,)
        or jumps.shape != (n_states, n_states)
        or kind not in ("rates", "passage times")
    ):
        raise ValueError(
            f"Populations {populations.shape} and {kind} {jumps.shape} must be [states] and [states, states] rates or "
            f"passage times of {n_states} labelled states."
        )
    if not 1 <= n_states <= MOST_STATES:
        raise ValueError(f"{n_states} states cannot be told apart in one picture; join them to {MOST_STATES} or fewer.")


def _strongest(flow: np.ndarray, rates: np.ndarray) -> tuple[list[tuple[int, int]], int]:
    """Return the arrows to draw, ways there and back together, and how many are left out."""
    n_states = len(flow)
    pairs = [(a, b) for a in range(n_states) for b in range(a + 1, n_states) if rates[a, b] or rates[b, a]]
    pairs.sort(key=lambda pair: -(flow[pair] + flow[pair[::-1]]))
    tree = _spanning(pairs, n_states)
    pairs = [*tree, *(pair for pair in pairs if pair not in set(tree))]
    arrows = [way for pair in pairs for way in (pair, (pair[1], pair[0])) if rates[way]]
    kept = arrows[: max(MOST_ARROWS, 2 * len(tree))]
    return kept, len(arrows) - len(kept)


def _spanning(pairs: Sequence[tuple[int, int]], n_states: int) -> list[tuple[int, int]]:
    """Return the first pairs that join all states which can be joined, so that none seems to be out of reach."""
    island, kept = list(range(n_states)), []
    for a, b in pairs:
        if island[a] != island[b]:
            kept.append((a, b))
            island = [island[a] if one == island[b] else one for one in island]
    return kept


def _unit(rates: np.ndarray, kind: Kind) -> TimeUnit:
    """Return the unit of passage times, or the one in which most rates are more than 1."""
    times = 1 / rates[rates > 0]
    slower = [unit for unit in UNITS if unit.fs >= np.median(times)] if times.size else []
    return slower[0] if kind == "rates" and slower else time_unit(times)


def _places(flow: np.ndarray, centres: np.ndarray | None) -> np.ndarray:
    """Return [states, 2] within ±1: the centres where they lie apart, else a circle on which neighbours mix fast."""
    n_states = len(flow)
    turn = np.pi / 2 - 2 * np.pi * _order(flow) / n_states
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) if n_states > 1 else np.zeros((1, 2))
    if centres is None or np.shape(centres) != (n_states, 2) or n_states < 2 or not np.isfinite(centres).all():
        return circle
    centres = np.asarray(centres, dtype=float)
    middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
    places = (centres - middle) / (np.ptp(centres, axis=0).max() / 2 or 1.0)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 10 * np.eye(n_states)
    return places if apart.min() > 0.35 else circle


def _order(flow: np.ndarray) -> np.ndarray:
    """Return the place of each state in a row in which much flows between neighbours.

    Reference:
        Atkins, Boman & Hendrickson (1998), SIAM Journal on Computing 28.
    """
    n_states = len(flow)
    both = flow + flow.T
    if n_states < 5 or not np.isfinite(both).all() or not both.any():
        return np.arange(n_states)
    # Their logarithm, because flows span orders of magnitude and one small one would decide alone.
    weights = np.where(both > 0, 1 + np.log(np.maximum(both, 1e-300) / both[both > 0].min()), 0.0)
    _, modes = np.linalg.eigh(np.diag(weights.sum(axis=1)) - weights)
    return modes[:, 1].argsort(kind="stable").argsort(kind="stable")


def _width(rates: np.ndarray, rate: float) -> float:
    """Return how thick an arrow is: the logarithm of its rate between the slowest and the fastest."""
    known = rates[rates > 0]
    share = np.log(rate / known.min()) / max(np.log(known.max() / known.min()), 1e-9)
    return THIN_PX + (THICK_PX - THIN_PX) * float(share)


def _jump(rate: float, kind: Kind, unit: TimeUnit) -> str:
    value = rate * unit.fs if kind == "rates" else 1 / rate / unit.fs
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _around(places: np.ndarray) -> list[float]:
    """Return an axis on which circles and their words have room."""
    return [float(places.min()) - 0.35, float(places.max()) + 0.35]


def _add_arrow(
    fig: Figure, places: np.ndarray, sizes: np.ndarray, way: tuple[int, int], width: float, words: str
) -> None:
    a, b = way
    along = places[b] - places[a]
    along = along / np.linalg.norm(along)
    # To its right, so that the ways there and back lie beside one another; pixels count downwards.
    shift = APART_PX * np.array([along[1], -along[0]])
    fig.add_annotation(
        x=places[b, 0], y=places[b, 1], ax=places[a, 0], ay=places[a, 1], axref="x", ayref="y", text="",
        arrowhead=2, arrowwidth=width, arrowsize=max(0.6, 1.6 / width**0.5), arrowcolor="rgba(128,128,128,0.75)",
        standoff=sizes[b] / 2 + 3, startstandoff=sizes[a] / 2 + 2, xshift=shift[0], yshift=shift[1],
    )  # fmt: skip
    at = places[a] + 0.36 * (places[b] - places[a])
    fig.add_annotation(
        x=at[0], y=at[1], xshift=4 * shift[0], yshift=3 * shift[1], text=words, showarrow=False,
        font={"size": 12, "color": TEXT},
    )  # fmt: skip


def _add_circles(
    fig: Figure, places: np.ndarray, sizes: np.ndarray, populations: np.ndarray, labels: Sequence[str]
) -> None:
    share = [f"{one:.1%}" if np.isfinite(one) else "unknown" for one in populations]
    names = [plain(label, 26) for label in labels]
    inside = [name if len(name) <= INSIDE else "" for name in names]
    fig.add_scatter(
        x=places[:, 0], y=places[:, 1], mode="markers+text", text=inside, textfont={"color": "#FFFFFF", "size": 13},
        marker={"size": sizes, "color": PALETTE[0], "opacity": 1, "line": {"width": 2, "color": "#FFFFFF"}},
        customdata=np.arange(len(labels)), meta={"states": True}, name="states", hovertext=[
            f"{name}: {part} of the time" for name, part in zip(names, share, strict=True)
        ], hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    for place, size, name, part, within in zip(places, sizes, names, share, inside, strict=True):
        up = place[1] >= 0
        fig.add_annotation(
            x=place[0], y=place[1], text=part if within else f"{name}, {part}", showarrow=False,
            yshift=(size / 2 + 12) * (1 if up else -1), font={"size": 13, "color": TEXT},
        )  # fmt: skip


def _network_in_words(
    populations: np.ndarray,
    rates: np.ndarray,
    labels: Sequence[str],
    kind: Kind,
    arrows: Sequence[tuple[int, int]],
    left_out: int,
) -> str:
    shares = ", ".join(f"{label} {share:.1%}" for label, share in zip(labels, populations, strict=True))
    ways = [f"{labels[a]} to {labels[b]} {time_words(float(1 / rates[a, b]))}" for a, b in arrows]
    what = "Mean time of one jump, from its rate" if kind == "rates" else "Mean passage times"
    lost = f" {left_out} less used ways are not drawn." if left_out else ""
    return f"State network. Populations: {shares}. {what}: {', '.join(ways) or 'no way between states'}.{lost}"


def population_bars(
    populations: Mapping[str, Any],
    labels: Sequence[str],
    *,
    bands: Mapping[str, tuple[Any, Any]] | None = None,
    title: str = "Populations",
    subtitle: str = "",
) -> Figure:
    """Draw how much of the time is spent in each state, the reference first; each bar carries its state.

    Args:
        populations: per name [states], sum to 1.
        labels: one per state.
        bands: of some names, [states] each, where they begin and end.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    fig, states = Figure(), np.arange(len(labels))
    for index, (name, found) in enumerate(populations.items()):
        shares = np.asarray(found, dtype=float)
        band = (bands or {}).get(name)
        error = {} if band is None else {
            "type": "data", "symmetric": False, "array": np.asarray(band[1]) - shares,
            "arrayminus": shares - np.asarray(band[0]), "color": TEXT,
        }  # fmt: skip
        colour = TEXT if index == 0 else PALETTE[(index - 1) % len(PALETTE)]
        fig.add_bar(
            x=states, y=shares, name=plain(name, 26), marker=hatched(index, colour), error_y=error,
            customdata=states, meta={"states": True}, text=[plain(label, 26) for label in labels], textposition="none",
            hovertemplate="%{text}: %{y:.2%}",
        )  # fmt: skip
    step = -(-len(labels) // MOST_STATES)
    fig.update_xaxes(
        title_text="state", tickvals=states[::step], ticktext=[plain(label, 16) for label in labels[::step]],
        showgrid=False, range=[-0.5, len(labels) - 0.5],
    )  # fmt: skip
    fig.update_yaxes(title_text="share of the time (1)", rangemode="tozero", tickformat="~g")
    parts = []
    for name, found in populations.items():
        most = np.argsort(-np.asarray(found, dtype=float), kind="stable")[:10]
        more = f" and {len(labels) - len(most)} rarer ones" if len(labels) > len(most) else ""
        parts.append(f"{name}: {', '.join(f'{labels[at]} {found[at]:.1%}' for at in most)}{more}")
    alt = f"Share of the time spent in each state. {'; '.join(parts)}."
    return framed(fig, title=title, subtitle=subtitle, alt=alt, height=450)
