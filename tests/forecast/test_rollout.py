"""Forecasts as trajectories: where they begin, how blocks chain, that nothing shifts; and attention by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trained import TINY, shaken_ethanol, tiny_run

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window
from asteroid_nb.errors import InvalidSettings, ModelMismatch, TrajectoryTooShort
from asteroid_nb.forecast.rollout import attention, predict, window_at
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.transformer import STITransformer

HISTORY, HORIZON = TINY.history, TINY.horizon


def moved(shift_ang: float, dtype: type = np.float64) -> Trajectory:
    """Return the trajectory somewhere else."""
    return shaken_ethanol().replace(positions=(shaken_ethanol().positions + shift_ang).astype(dtype))


class TestPredict:
    def test_returns_the_history_and_then_the_forecast(self):
        run, source = tiny_run(), shaken_ethanol()
        made = predict(run, source, starts=30)
        assert made.n_frames == HISTORY + HORIZON and made.dt_fs == run.dt_fs
        assert np.array_equal(made.positions[:HISTORY], source.positions[30 : 30 + HISTORY])
        window = window_at(run, source, 30)
        expected = window.place(run.forecast(window))[0].numpy()
        np.testing.assert_allclose(made.positions[HISTORY:], expected, rtol=0, atol=1e-6)
        assert np.array_equal(made.atomic_numbers, source.atomic_numbers)
        assert np.array_equal(made.masses, source.masses)
        assert made.provenance["start_frame"] == 30 and made.provenance["history_frames"] == HISTORY

    def test_starts_at_the_first_frame_unless_told(self):
        first = predict(tiny_run(), shaken_ethanol())
        assert np.array_equal(first.positions[:HISTORY], shaken_ethanol().positions[:HISTORY])

    @pytest.mark.parametrize("n_blocks", [1, 3])
    def test_of_several_starts_equals_one_by_one(self, n_blocks):
        starts = [0, 57, 3, 200]
        together = predict(tiny_run(), shaken_ethanol(), starts=starts, n_blocks=n_blocks)
        assert isinstance(together, list)
        for start, one in zip(starts, together, strict=True):
            alone = predict(tiny_run(), shaken_ethanol(), starts=start, n_blocks=n_blocks)
            assert alone.n_frames == HISTORY + n_blocks * HORIZON
            np.testing.assert_allclose(one.positions, alone.positions, rtol=0, atol=1e-4)

    def test_of_one_start_in_a_list_is_a_list_and_of_none_is_empty(self):
        assert len(predict(tiny_run(), shaken_ethanol(), starts=[4])) == 1
        assert predict(tiny_run(), shaken_ethanol(), starts=[]) == []

    def test_takes_starts_from_numpy(self):
        for starts in (np.int64(4), np.array([4, 5])):
            made = predict(tiny_run(), shaken_ethanol(), starts=starts)
            assert (made if isinstance(made, Trajectory) else made[0]).provenance["start_frame"] == 4

    def test_chains_blocks_as_by_hand(self):
        run, source = tiny_run(), shaken_ethanol()
        whole = predict(run, source, starts=12, n_blocks=3)
        path = source.positions[12 : 12 + HISTORY]
        for _ in range(3):
            seen = source.replace(positions=path[-HISTORY:])
            path = np.concatenate([path, predict(run, seen).positions[HISTORY:]])
        np.testing.assert_allclose(whole.positions, path, rtol=0, atol=1e-6)

    def test_goes_beyond_the_end_where_no_future_exists(self):
        run, source = tiny_run(), shaken_ethanol()
        last = source.n_frames - HISTORY
        made = predict(run, source, starts=last, n_blocks=2)
        assert made.n_frames == HISTORY + 2 * HORIZON and np.isfinite(made.positions).all()
        earlier = predict(run, source[:-1], starts=last - 1)
        assert earlier.n_frames == HISTORY + HORIZON

    @pytest.mark.parametrize("starts", [-1, 233, 10**9, [0, 233], [-1, 0]])
    def test_out_of_range_says_where_to_start(self, starts):
        with pytest.raises(
            TrajectoryTooShort, match=r"A history of 8 frames, every 1, .*Choose a start between 0 and 232"
        ):
            predict(tiny_run(), shaken_ethanol(), starts=starts)

    def test_of_too_few_frames_says_so(self):
        with pytest.raises(TrajectoryTooShort, match="does not fit into 7. Use a longer trajectory"):
            predict(tiny_run(), shaken_ethanol()[:7])

    def test_with_a_stride_counts_what_the_history_spans(self):
        fine = shaken_ethanol().replace(dt_fs=0.5)
        assert predict(tiny_run(), fine, starts=225).n_frames == HISTORY + HORIZON
        with pytest.raises(TrajectoryTooShort, match=r"every 2, spans 15; from frame 226.*between 0 and 225"):
            predict(tiny_run(), fine, starts=226)

    @pytest.mark.parametrize("n_blocks", [0, -1])
    def test_of_no_block_is_refused(self, n_blocks):
        with pytest.raises(InvalidSettings, match=f"n_blocks was {n_blocks}"):
            predict(tiny_run(), shaken_ethanol(), n_blocks=n_blocks)

    def test_never_looks_past_the_present(self):
        source = shaken_ethanol()
        spoiled = source.positions.copy()
        spoiled[30 + HISTORY :] += 1.0
        one, other = (predict(tiny_run(), source.replace(positions=p), starts=30) for p in (source.positions, spoiled))
        assert np.array_equal(one.positions, other.positions)

    @pytest.mark.parametrize(("dtype", "n_blocks"), [(np.float64, 3), (np.float32, 1)])
    def test_lands_where_the_trajectory_is(self, dtype, n_blocks):
        """At 1000 Å single precision keeps 6e-5 Å, which velocities amplify; but nothing may shift."""
        shifts = (0.0, 1000.0)
        near, far = (predict(tiny_run(), moved(shift, dtype), starts=7, n_blocks=n_blocks) for shift in shifts)
        assert far.positions.dtype == dtype
        difference = far.positions.astype(float) - 1000.0 - near.positions
        assert np.abs(difference).max() < (1e-4 if dtype == np.float64 else 1e-2)
        assert np.abs(far.positions[HISTORY] - far.positions[HISTORY - 1]).max() < 0.2

    def test_goes_out_to_mdtraj_and_ase(self):
        made = predict(tiny_run(), shaken_ethanol(), starts=30, n_blocks=2)
        frames = made.to_ase()
        assert len(frames) == made.n_frames and frames[0].get_chemical_symbols() == list(made.symbols)
        np.testing.assert_allclose(frames[-1].positions, made.positions[-1], atol=1e-6)
        np.testing.assert_allclose(made.to_mdtraj().xyz * 10, made.positions, atol=1e-4)

    def test_leaves_the_trajectory_and_the_model_alone(self):
        run, source = tiny_run(), shaken_ethanol()
        positions = source.positions.copy()
        weights = {name: value.clone() for name, value in run.model.state_dict().items()}
        predict(run, source, starts=[0, 1], n_blocks=2)
        assert np.array_equal(source.positions, positions)
        assert all(torch.equal(value, weights[name]) for name, value in run.model.state_dict().items())

    def test_may_break_the_molecule_and_still_be_looked_at(self):
        broken = STITransformer(TINY, tiny_run().model.molecule)
        broken.load_state_dict(tiny_run().model.state_dict())
        torch.nn.init.constant_(broken.row_head[1].bias, 1e4)
        torch.nn.init.constant_(broken.slot_head[1].bias, 1e4)
        made = predict(Run(broken, 1.0), shaken_ethanol())
        assert np.abs(made.positions).max() > 10

    @pytest.mark.gpu
    def test_on_the_gpu_gives_the_forecast_of_the_cpu(self):
        expected = predict(tiny_run(), shaken_ethanol(), starts=[0, 9], n_blocks=2)
        model = STITransformer(TINY, tiny_run().model.molecule)
        model.load_state_dict(tiny_run().model.state_dict())
        found = predict(Run(model.cuda(), 1.0), shaken_ethanol(), starts=[0, 9], n_blocks=2)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.positions, other.positions, rtol=0, atol=1e-2)


class TestWindowAt:
    def test_holds_history_and_future_from_there(self):
        window = window_at(tiny_run(), shaken_ethanol(), 11)
        placed = window.place(torch.cat([window.history, window.truth], dim=1))[0].numpy()
        np.testing.assert_allclose(placed, shaken_ethanol().positions[11 : 11 + HISTORY + HORIZON], atol=1e-6)

    @pytest.mark.parametrize("start", [-1, 225])
    def test_out_of_range_says_where_to_start(self, start):
        with pytest.raises(TrajectoryTooShort, match="spans 16; .*Choose a start between 0 and 224"):
            window_at(tiny_run(), shaken_ethanol(), start)

    def test_of_another_molecule_is_refused(self):
        with pytest.raises(ModelMismatch, match="species"):
            window_at(tiny_run(), shaken_ethanol().select(range(8)), 0)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return attention(tiny_run(), window_at(tiny_run(), shaken_ethanol(), 3))


class TestAttention:
    def test_names_the_layers_as_people_do(self, weights):
        both = ("local", "global", "temporal")
        assert set(weights) == {
            *(f"encoder.0.{kind}" for kind in both),
            *(f"decoder.0.{kind}" for kind in (*both, "transformation")),
        }

    def test_has_heads_queries_and_keys(self, weights):
        nodes, rows = 9 + TINY.registers, len(TINY.rows)
        slots = len(TINY.context_starts) + TINY.n_slots
        for name, shape in {
            "encoder.0.local": (rows, 2, nodes, nodes),
            "encoder.0.global": (rows, 2, nodes, nodes),
            "encoder.0.temporal": (nodes, 2, rows, rows),
            "decoder.0.local": (slots, 2, nodes, nodes),
            "decoder.0.global": (slots, 2, nodes, nodes),
            "decoder.0.temporal": (nodes, 2, slots, slots),
            "decoder.0.transformation": (nodes, 2, slots, rows + nodes),
        }.items():
            assert weights[name].shape == shape, name

    def test_rows_sum_to_one_and_the_masked_is_zero(self, weights):
        for name, values in weights.items():
            assert (values >= 0).all()
            np.testing.assert_allclose(values.sum(-1), 1.0, atol=1e-5, err_msg=name)
        for name in ("encoder.0.temporal", "decoder.0.temporal"):
            assert not np.triu(weights[name], 1).any(), "no time may read a later one"
        far = weights["encoder.0.local"][:, :, 2, 6]  # O and a hydrogen of the methyl group
        assert not far.any()

    def test_is_of_the_first_window_and_without_its_future(self, weights):
        window = window_at(tiny_run(), shaken_ethanol(), 3)
        other = window_at(tiny_run(), shaken_ethanol(), 90)
        both = Window.of(
            torch.cat([window.place(window.history), other.place(other.history)]), dt_fs=window.dt_fs, future=None
        )
        for name, values in attention(tiny_run(), both).items():
            np.testing.assert_allclose(values, weights[name], atol=1e-5)

    def test_leaves_nothing_recorded_behind(self, weights):
        assert not any(getattr(module, "recording", False) for module in tiny_run().model.modules())
        assert all(getattr(module, "recorded", None) is None for module in tiny_run().model.modules())
