"""Costs are measured apart, fitted by a straight line, and stop where they would not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asteroid_nb.bench.forecasts import scale
from asteroid_nb.bench.forecasts.boxes import VOLUME_ANG3, box_of_ethanol, rotations
from asteroid_nb.bench.forecasts.footprint import GIB, Found, Wanted, apart
from asteroid_nb.cli import main
from asteroid_nb.data.bonds import find_bonds


def costing(power: float, *, bytes_each: float = 1e4, sizes=(9, 90, 900, 9_000, 90_000)) -> dict[int, Found]:
    return {
        n // 9: Found(n_atoms=n, seconds=[1e-6 * n**power] * 3, peak_bytes=int(bytes_each * n**power)) for n in sizes
    }


@pytest.mark.parametrize("power", [1.0, 1.3, 2.0])
def test_the_exponent_of_a_power_law_is_its_power(power):
    for of in ("time", "memory"):
        found, atoms = scale.exponent(costing(power), of)
        assert found == pytest.approx(power, abs=1e-3)
        assert atoms == [900, 9_000, 90_000]
    assert scale.exponent(costing(power, sizes=(9, 90, 900)), "time")[1] == [90, 900]
    assert scale.exponent(costing(power, sizes=(9,)), "time") is None


@pytest.mark.parametrize(("power", "word"), [(1.05, "PASSED"), (1.2, "FAILED")])
def test_the_page_holds_listed_pairs_alone_to_the_rule(tmp_path, monkeypatch, power, word):
    measured = {"listed": costing(power), "all": costing(2.0)}
    monkeypatch.setattr(scale, "apart", lambda wanted: measured[wanted.pairs][wanted.n_copies])
    text = scale.run(folder=tmp_path, sizes=[9, 90, 900, 9_000, 90_000]).read_text(encoding="utf-8")
    assert text.count(f"**{word}**") == 4
    assert f"{power:.2f}, fitted on 900 to 90,000 atoms (3 sizes)" in text
    assert text.count("**reported**") == 4 and "2.00, fitted on 90 to 900 atoms" in text
    assert "9,000 atoms would need about 754 GiB; the limit was 8" in text
    assert "| exponent | " in text and "| 90,000 | " in text


def test_memory_that_ran_out_ends_a_curve_and_long_calls_are_not_begun(tmp_path, monkeypatch):
    asked = []

    def measuring(wanted: Wanted) -> Found | None:
        asked.append((wanted.pairs, wanted.work, wanted.n_copies))
        if wanted.pairs == "listed" and wanted.n_copies > 10:
            return None
        n_atoms = 9 * wanted.n_copies
        return Found(n_atoms=n_atoms, seconds=[1e-3 * n_atoms**2], peak_bytes=GIB // 1000)

    monkeypatch.setattr(scale, "apart", measuring)
    text = scale.run(folder=tmp_path, sizes=[9, 90, 900, 9_000]).read_text(encoding="utf-8")
    assert "a forecast with listed pairs: 900 atoms did not fit into memory" in text
    assert "a step of training with all pairs: 900 atoms would take about 810 s; the limit was 300" in text
    assert max(n_copies for *_, n_copies in asked) == 100
    assert "PASSED" not in text  # a line through 9 and 90 atoms says nothing


def test_a_process_of_its_own_measures_what_grows():
    work = {"pairs": "listed", "preset": "tiny"}
    small, large = (apart(Wanted(n_copies=n, work="forecast", **work)) for n in (1, 200))
    assert (small.n_atoms, large.n_atoms) == (9, 1800)
    assert large.peak_bytes > 10 * 2**20 and large.peak_bytes > small.peak_bytes
    assert large.median_s > small.median_s > 0 and small.seconds == sorted(small.seconds)
    training = apart(Wanted(n_copies=200, work="training", **work))
    assert training.peak_bytes > large.peak_bytes


def test_boxes_hold_whole_moving_molecules_as_dense_as_the_liquid():
    molecule, window = box_of_ethanol(27, 6, n_seen=4)
    assert window.history.shape == (1, 4, 243, 3) and window.truth.shape == (1, 2, 243, 3)
    lone = box_of_ethanol(1, 6, n_seen=4)[0]
    within = molecule.bonds // 9
    assert (within[:, 0] == within[:, 1]).all() and len(molecule.bonds) == 27 * len(lone.bonds)
    one = molecule.reference[9 * 13 : 9 * 14]
    np.testing.assert_array_equal(find_bonds(one, molecule.atomic_numbers[:9]), lone.bonds)
    extent = np.ptp(molecule.reference.reshape(27, 9, 3).mean(1), axis=0)
    np.testing.assert_allclose(extent, 2 * VOLUME_ANG3 ** (1 / 3), atol=0.3)
    assert (window.history[:, 1:] != window.history[:, :1]).any()


def test_rotations_are_proper_and_spread_evenly():
    drawn = rotations(4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn @ drawn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), drawn.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(drawn), 1.0)
    assert np.abs(drawn.mean(0)).max() < 0.05


def test_what_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "scale", "--device", "cuda", "--out", str(tmp_path)]) == 2
    assert "torch finds no GPU here" in capsys.readouterr().err
    assert main(["bench", "scale", "--sizes", "0", "--out", str(tmp_path)]) == 2
    assert "--sizes were [0]" in capsys.readouterr().err
