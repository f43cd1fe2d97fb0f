"""Colours stay apart for readers who see fewer of them: Machado, Oliveira & Fernandes (2009), severity 1.

Matrices of their table 1, doi:10.1109/TVCG.2009.113; differences as ΔE of CIELAB (CIE 1976).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from asteroid_nb.views.molecule import ERROR_COLOURS, LAYER_COLOURS
from asteroid_nb.views.style import DASHES, MAIN_COLOUR, MARKERS, PALETTE, look

SEEN = {
    "all colours": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}

#: Of CIELAB, D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colours, seen: np.ndarray) -> np.ndarray:
    """Return CIELAB of ``#rrggbb`` as somebody sees them."""
    srgb = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    ratio = (np.clip(linear @ seen.T, 0, 1) @ TO_XYZ.T) / WHITE
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=-1)


def test_the_simulation_knows_what_is_known():
    red_and_green = ("#c00000", "#508000")
    apart = {name: np.linalg.norm(np.subtract(*lab(red_and_green, seen))) for name, seen in SEEN.items()}
    assert apart["no green cones"] < 0.35 * apart["all colours"]
    assert lab(["#ffffff"], SEEN["all colours"])[0] == pytest.approx([100, 0, 0], abs=0.1)


@pytest.mark.parametrize("reader", SEEN)
def test_error_colours_darken_all_the_way_for_everybody(reader):
    lightness = lab(ERROR_COLOURS, SEEN[reader])[:, 0]
    assert (np.diff(lightness) < -5).all(), lightness


@pytest.mark.parametrize("reader", SEEN)
def test_layers_over_one_another_are_told_apart(reader):
    for one, other in itertools.combinations(lab(LAYER_COLOURS, SEEN[reader]), 2):
        assert np.linalg.norm(one - other) > 15


@pytest.mark.parametrize("reader", SEEN)
def test_curves_are_told_apart_by_colour_or_else_by_dash_and_marker(reader):
    """Of the model and ten rivals, no pair differs in one of colour, dash and marker only."""
    looks = [look(index) for index in range(10)] + [look(0, main=True)]
    colours = lab([drawn.line["color"] for drawn in looks], SEEN[reader])
    for (one, first), (other, second) in itertools.combinations(enumerate(looks), 2):
        far = bool(np.linalg.norm(colours[one] - colours[other]) > 15)
        dashed = first.line.get("dash") != second.line.get("dash")
        marked = first.marker["symbol"] != second.marker["symbol"]
        assert far + dashed + marked >= 2, (first, second)


@pytest.mark.parametrize("reader", SEEN)
def test_the_model_stands_out_from_its_rivals_by_more_than_colour(reader):
    main, rivals = look(0, main=True), [look(index) for index in range(14)]
    assert all(main.line["width"] >= 2 * rival.line["width"] for rival in rivals)
    assert "dash" not in main.line and len(set(DASHES)) == len(DASHES) and len(set(MARKERS)) == len(MARKERS)
    assert MAIN_COLOUR in PALETTE


@pytest.mark.parametrize("reader", SEEN)
@pytest.mark.parametrize("scale", ["Cividis", "RdBu"])
def test_scales_of_heat_maps_keep_their_order_for_everybody(reader, scale):
    from plotly.colors import get_colorscale

    colours = [_hex(colour) for _, colour in get_colorscale(scale)]
    lightness = lab(colours, SEEN[reader])[:, 0]
    if scale == "Cividis":
        assert (np.diff(lightness) > 0).all()
    else:
        middle = len(lightness) // 2
        assert (np.diff(lightness[: middle + 1]) > -1).all() and (np.diff(lightness[middle:]) < 1).all()
        ends = lab([colours[0], colours[-1]], SEEN[reader])
        assert np.linalg.norm(ends[0] - ends[1]) > 15


def _hex(colour: str) -> str:
    if colour.startswith("#"):
        return colour
    return "#" + "".join(f"{int(part):02x}" for part in colour[4:-1].split(","))
