"""Listed pairs: the same attention where every pair is listed; elsewhere what is near, and what registers share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import held_out, small_model, small_settings, walkers
from torch.testing import assert_close

from asteroid_nb.bench.forecasts.boxes import box_of_ethanol
from asteroid_nb.data.bonds import bond_hops
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast import near
from asteroid_nb.forecast.attention import Attention, recording
from asteroid_nb.forecast.environment import nearest_atoms
from asteroid_nb.forecast.frames import frame_atoms
from asteroid_nb.forecast.groups import by_group
from asteroid_nb.forecast.losses import loss_terms, loss_weights
from asteroid_nb.forecast.near import SharedAttention, ThroughRegisters, neighbours
from asteroid_nb.forecast.rollout import attention, predict
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import train
from asteroid_nb.forecast.transformer import STITransformer

LISTED = {"pairs": "listed", "conjugate": "none"}


def in_both_modes(**changes) -> tuple[STITransformer, STITransformer]:
    """Return two models of the same weights, which look at all pairs and at listed ones, with local attention alone."""
    every = small_model(spatial="local", conjugate="none", **changes).double()
    listed = small_model(spatial="local", **LISTED | changes).double()
    left = listed.load_state_dict(every.state_dict(), strict=False)
    assert not left.missing_keys and set(left.unexpected_keys) == {"encoder_bias.bonded", "decoder_bias.bonded"}
    return every, listed


@pytest.mark.parametrize("mode", ["softmax", "continuous"])
@pytest.mark.parametrize(("cutoff_ang", "hops"), [(50.0, 2), (2.0, 1), (3.0, 2), (0.0, 3), (0.0, 0)])
def test_listed_local_attention_is_that_of_all_pairs(cutoff_ang, hops, mode, monkeypatch):
    monkeypatch.setattr(near, "CHUNK_QUERIES", 7)
    every, listed = in_both_modes(cutoff_ang=cutoff_ang, hops=hops, attention=mode)
    history = held_out()[:3].history.double()
    told = []
    for model in (every, listed):
        seen = history.clone().requires_grad_()
        memory = model.encode(model.environment(seen, model.rows))
        weights = [seen, *model.encoder.parameters(), *model.encoder_bias.parameters()]
        told.append((memory, *torch.autograd.grad(memory.sin().sum(), weights, allow_unused=True)))
    for one, other in zip(*told, strict=True):
        if one is not None:
            assert_close(other, one, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_an_atom_with_more_neighbours_than_slots_keeps_the_nearest():
    positions = torch.randn(2, 30, 3, dtype=torch.float64)
    index, filled = neighbours(positions, torch.arange(30).repeat(2, 1), cutoff_ang=50.0, most=5)
    assert index.shape == (60, 5) and filled.all()
    nearest = torch.cdist(positions, positions).argsort(-1)[..., :5] + 30 * torch.arange(2)[:, None, None]
    assert (index == nearest.flatten(0, 1)).all()


def box(n_copies: int, seed: int = 0) -> Molecule:
    return box_of_ethanol(n_copies, 3, n_seen=2, seed=seed)[0]


def scattered(n_atoms: int, bonds_each: float, seed: int) -> Molecule:
    draw = np.random.default_rng(seed)
    bonds = draw.integers(n_atoms, size=(int(bonds_each * n_atoms), 2))
    bonds = np.unique(np.sort(bonds[bonds[:, 0] != bonds[:, 1]], axis=1), axis=0).reshape(-1, 2)
    reference = draw.normal(scale=n_atoms ** (1 / 3), size=(n_atoms, 3))
    if seed % 3 == 0:  # nearly on a line, where most others span no frame
        reference[:, 1:] *= 0.01
    return Molecule(draw.integers(1, 9, n_atoms), draw.choice([1.0, 12.0, 16.0], n_atoms), bonds, reference)


MOLECULES = [box(1), box(5), box(20), *(scattered(n, e, s) for n in (3, 20, 90) for e in (0, 0.6, 1.2) for s in (0, 1))]


@pytest.mark.parametrize("molecule", MOLECULES, ids=lambda one: f"{one.n_atoms} atoms, {len(one.bonds)} bonds")
def test_neighbours_and_frames_are_those_of_comparing_every_pair(molecule):
    hops = bond_hops(molecule.bonds, molecule.n_atoms, most=molecule.n_atoms)
    apart = np.linalg.norm(molecule.reference[:, None] - molecule.reference[None], axis=-1)
    np.testing.assert_array_equal(nearest_atoms(molecule), np.lexsort((apart, hops), axis=-1)[:, :32])
    np.testing.assert_array_equal(frame_atoms(molecule), frames_of_every_pair(molecule, hops))


def frames_of_every_pair(molecule: Molecule, hops: np.ndarray) -> np.ndarray:
    from_centre = np.linalg.norm(molecule.reference - molecule.reference.mean(0), axis=1)
    rank = np.argsort(np.lexsort((-from_centre.round(6), -molecule.masses)))
    chosen = []
    for atom in range(molecule.n_atoms):
        others = np.delete(np.arange(molecule.n_atoms), atom)
        first = others[np.lexsort((rank[others], hops[atom, others]))[0]]
        rest = others[others != first]
        arms, axis = (molecule.reference[one] - molecule.reference[atom] for one in (rest, first))
        straight = np.abs(arms @ axis) > np.cos(np.radians(20)) * np.linalg.norm(arms, axis=1) * np.linalg.norm(axis)
        nearness = np.minimum(hops[atom, rest], hops[first, rest])
        chosen.append((first, rest[np.lexsort((rank[rest], nearness, straight))[0]]))
    return np.array(chosen)


def test_groups_share_weights_as_if_each_atom_had_a_copy():
    group = torch.tensor([2, 0, 2] * 40)
    values = torch.randn(2, 3, 120, 5, dtype=torch.float64)
    weights = torch.randn(3, 5, 4, dtype=torch.float64)
    assert_close(by_group(values, weights, group), torch.einsum("wtnf,nfd->wtnd", values, weights[group]))


@pytest.mark.parametrize("mode", ["softmax", "continuous"])
@torch.no_grad()
def test_shared_memory_is_read_as_if_every_node_had_a_copy(mode):
    tokens, memory = torch.randn(2, 5, 4, 12), torch.randn(2, 3, 5, 12)
    for shared, first in ((2, 3), (None, 0)):
        reading = SharedAttention(12, 3, mode=mode, shared=shared)
        plain = Attention(12, 3, mode=mode)
        plain.load_state_dict(reading.state_dict())
        copied = torch.cat([memory.transpose(1, 2), memory[:, -1:, first:].expand(-1, 5, -1, -1)], dim=2)
        with recording(reading) as found, recording(plain) as expected:
            assert_close(reading(tokens, projected=reading.project(memory)), plain(tokens, copied))
        assert_close(found[""], expected[""])
        hidden = torch.zeros(5, 1, 1, 3 + 5 - first).index_fill(-1, torch.tensor([1, 4]), -torch.inf)
        assert_close(
            reading(tokens, projected=reading.project(memory), bias=hidden), plain(tokens, copied, bias=hidden)
        )


@torch.no_grad()
def test_atoms_far_apart_hear_of_each_other_through_registers_alone():
    layer = ThroughRegisters(2, 12, lambda: Attention(12, 3)).eval()
    nodes = torch.randn(1, 1, 10, 12)
    changed = nodes.clone()
    changed[:, :, 0] += 1.0
    assert ((layer(changed) - layer(nodes)).abs().amax(-1) > 1e-6).all()
    local = small_model(**LISTED, spatial="local", hops=1, cutoff_ang=0.1, encoder_layers=1)
    tokens = torch.randn(1, 1, 10, 16)
    moved = tokens.clone()
    moved[:, :, 0] += 1.0
    biases = local.encoder_bias(held_out()[:1].history[:, :1])[0]
    of = local.encoder[0].spatial.local
    differs = (near.attend_near(of, moved, biases) - near.attend_near(of, tokens, biases)).abs().amax(-1)[0, 0] > 1e-9
    bonded = bond_hops(local.molecule.bonds, 9, most=9)[0] <= 1
    assert differs.tolist() == [*bonded.tolist(), False]


@torch.no_grad()
def test_the_record_of_listed_attention_has_the_form_of_all_pairs():
    every, listed = in_both_modes(hops=1, cutoff_ang=2.0)
    window = held_out()[:2].replace(history=held_out()[:2].history.double(), future=None)
    records = []
    for model in (every, listed):
        with recording(model) as record:
            model.encode(model.environment(window.history, model.rows))
        records.append(record["encoder.0.spatial.local"])
    assert_close(records[1], records[0], rtol=0, atol=1e-12)


def test_attention_of_a_forecast_is_told_by_what_it_went_through(monkeypatch):
    run = Run(small_model(**LISTED, registers=2), 1.0)
    found = attention(run, held_out()[:1])
    rows = len(run.settings.rows)
    assert found["encoder.0.local"].shape == (rows, 2, 11, 11)
    assert found["encoder.0.global.gather"].shape == (rows, 2, 2, 11)
    assert found["encoder.0.global.read"].shape == (rows, 2, 9, 2)
    assert found["decoder.0.transformation"].shape == (11, 2, 3, rows + 2)
    assert all(np.allclose(weights.sum(-1), 1, atol=1e-5) for weights in found.values())
    monkeypatch.setattr(near, "MOST_RECORDED", 10)
    with pytest.raises(InvalidSettings, match="11 nodes would be recorded as a table of 11² pairs; at most 10"):
        attention(run, held_out()[:1])


def test_real_ethanol_is_learnt_saved_and_forecast(tmp_path):
    settings = small_settings(**LISTED)
    run = train(list(walkers()), settings=settings, n_epochs=5, device="cpu", observers=[], folder=tmp_path)
    assert min(record["validation_loss"] for record in run.history) < 1.0
    forecast = predict(Run.load(tmp_path), walkers()[5], n_blocks=2)
    assert_close(forecast.positions, predict(run, walkers()[5], n_blocks=2).positions, rtol=0, atol=1e-5)


def test_a_box_of_many_molecules_is_learnt_from_in_one_step():
    settings = small_settings(**LISTED, atom_identity=False, registers=4)
    molecule, window = box_of_ethanol(120, 54, n_seen=8)
    assert molecule.n_atoms == 1080
    path = torch.cat([window.history, window.truth], dim=1)[0].numpy()
    trajectory = Trajectory(path, molecule.atomic_numbers, window.dt_fs, bonds=molecule.bonds, check_distances=False)
    stretches = [trajectory[first : first + 18] for first in (0, 18, 36)]
    run = train(stretches, settings=settings, n_epochs=1, batch_size=1, device="cpu", observers=[])
    assert np.isfinite(run.history[0]["validation_loss"])
    assert predict(run, trajectory).positions.shape == (16, 1080, 3)


def test_no_gradient_is_lost_between_forward_and_backward():
    model = small_model(**LISTED, registers=2).train()
    window = model.prepare(held_out()[:2])
    terms = loss_terms(model, model(window), window, forced=False)
    weights = loss_weights(ObjectiveSettings())
    torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()
    still = {name for name, one in model.named_parameters() if one.grad is None or not one.grad.abs().max() > 0}
    keys = {name for name in still if name.endswith("key_value.bias")}  # half of it, of the keys, moves no softmax
    assert not still - keys - {"embed_slots.registers"}
