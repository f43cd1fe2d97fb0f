"""What taking an atom away does, on models small enough to know what it must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import held_out, small_model
from torch.testing import assert_close
from trained import same

from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.attention import recording
from asteroid_nb.forecast.influence import held_still, influence, pair_attention, unseen
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.transformer import STITransformer


def made(**changes) -> Run:
    model = small_model(**changes)
    assert isinstance(model, STITransformer)
    return Run(model, 1.0)


@pytest.fixture(scope="module")
def run() -> Run:
    return made()


@pytest.fixture(scope="module")
def windows() -> Windows:
    return held_out().subset(most=5)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"fusion": "gated"}, {"spatial": "global"}, {"local": "variable"}], ids=str)
def test_nobody_gives_weight_to_the_unseen_but_itself(windows, changes):
    run, atom = made(**changes), 4
    with unseen(run.model, atom), recording(run.model) as record:
        run.forecast(windows[:])
    looked = 0
    for name, weights in record.items():
        if "temporal" in name or (changes.get("local") and name.endswith("local")):
            continue
        others = torch.arange(10) != atom  # nine atoms, one register
        if name.endswith("transformation"):  # [windows, nodes, heads, times, keys]
            weights = weights[..., -10:]
            assert weights[:, others][..., atom].max() == 0 and weights[:, atom, ..., atom].min() > 0
        else:  # [windows, times, heads, nodes, nodes]
            assert weights[..., others, atom].max() == 0 and weights[..., atom, atom].min() > 0
        looked += 1
    assert looked >= 3


@torch.no_grad()
def test_afterwards_the_model_is_as_before(run, windows):
    before = run.forecast(windows[:])
    with unseen(run.model, 0):
        assert (run.forecast(windows[:]) - before).abs().max() > 0
    assert_close(run.forecast(windows[:]), before, rtol=0, atol=0)
    assert same(run, made())


def test_an_unseen_atom_that_nobody_could_see_changes_nothing(windows):
    alone = made(spatial="local", hops=0, cutoff_ang=0.1, registers=0, encoder_layers=1)
    found = influence(alone, windows)
    # The decoder still reads everybody's memory at the present.
    with unseen(alone.model, 2), recording(alone.model) as record:
        alone.forecast(windows[:])
    assert record["encoder.0.spatial.local"].diagonal(dim1=-2, dim2=-1).min() == 1
    assert found[:, 2, 2].max() < found[:, :, 2].max()


def test_an_atom_without_decoder_is_only_its_neighbours_business(windows):
    encoder = made(spatial="local", hops=1, cutoff_ang=0.1, decode="none", encoder_layers=1)
    found = influence(encoder, windows)
    bonds = encoder.model.molecule.bonds
    near = np.eye(9, dtype=bool)
    near[tuple(bonds.T)] = near[tuple(bonds.T[::-1])] = True
    assert found[:, ~near].max() == 0
    off = near & ~np.eye(9, dtype=bool)
    assert found[:, off].min() > 0
    assert found[:, np.eye(9, dtype=bool)].max() == 0


def test_influence_is_the_distance_between_both_forecasts(run, windows):
    window, atom = windows[:].replace(future=None), 3
    apart = run.forecast(held_still(window, atom)) - run.forecast(window)
    expected = apart.square().sum(-1).mean(1).sqrt().numpy()
    np.testing.assert_allclose(influence(run, windows, by="still")[:, :, atom], expected, rtol=1e-4, atol=1e-7)


def test_an_atom_that_is_still_already_is_no_loss(run, windows):
    still = held_still(windows[:], 5)
    assert_close(held_still(still, 5).history, still.history, rtol=0, atol=0)
    assert (still.history[:, :, 5] == still.history[:, -1:, 5]).all()
    others = [atom for atom in range(9) if atom != 5]
    assert_close(still.history[:, :, others], windows[:].history[:, :, others], rtol=0, atol=0)


def test_attention_between_atoms_is_the_mean_of_what_was_recorded(run, windows):
    found = pair_attention(run, windows)
    with torch.no_grad(), recording(run.model) as record:
        run.model.predict(windows[:], cached=False)
    spatial = [weights for name, weights in record.items() if ".spatial." in name]
    expected = torch.stack([weights.mean((1, 2))[:, :9, :9] for weights in spatial]).mean(0)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)
    assert (found.sum(-1) < 1).all() and (found.sum(-1) > 0.3).all()


def test_what_cannot_be_asked_is_refused(run, windows):
    with pytest.raises(InvalidSettings, match="'unseen' or held 'still'"):
        influence(run, windows, by="magic")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettings, match="attention='softmax'"):
        influence(made(attention="continuous"), windows)
    with pytest.raises(InvalidSettings, match="cannot be masked one by one"):
        influence(made(pairs="listed", conjugate="none"), windows)
    with pytest.raises(InvalidSettings, match="no attention over atoms"):
        pair_attention(made(encoder_layers=0, decoder_layers=0, decode="none"), windows)
