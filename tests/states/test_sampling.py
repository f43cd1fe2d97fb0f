"""Sampling: draws follow the probabilities to their last digits, chains go on as the model says, whatever the model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from token_chains import THREE, markov_states, replicas, tokens

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.states.language import build
from asteroid_nb.states.markov import MarkovChain
from asteroid_nb.states.run import LanguageRun
from asteroid_nb.states.sampling import BLOCK_FRAMES, StateModel, drawn
from asteroid_nb.states.settings import LSTMSettings, TransformerSettings

SETTINGS = {
    "LSTM": LSTMSettings(context=8, embedding=4, width=12),
    "Transformer": TransformerSettings(context=8, width=12, heads=2, feed_forward=16),
}
NAMES = [*SETTINGS, "order-1 chain"]
every = pytest.mark.parametrize("name", NAMES)


def model_of(name: str) -> StateModel:
    """Return a chain, or an untrained language model with strong opinions, on three states."""
    if name == "order-1 chain":
        return MarkovChain(THREE, 10.0, ("a", "b", "c"), np.array([0.5, 0.3, 0.2]))
    model = build(SETTINGS[name], 3).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    return LanguageRun(model, 10.0, ("a", "b", "c"), np.array([0.5, 0.3, 0.2]))


class TestDraws:
    """States drawn with evenly spaced numbers, so that shares are exact and nothing is left to chance."""

    NUMBERS = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000

    def shares(self, probabilities: list[float], temperature: float) -> np.ndarray:
        scores = torch.tensor(probabilities).log().expand(len(self.NUMBERS), -1)
        states = drawn(scores, self.NUMBERS, temperature)
        return np.bincount(states.numpy(), minlength=len(probabilities)) / len(self.NUMBERS)

    @pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 50.0])
    def test_follow_the_power_law_of_the_temperature(self, temperature):
        probabilities = np.array([0.6, 0.25, 0.1, 0.05])
        expected = probabilities ** (1 / temperature)
        found = self.shares(probabilities.tolist(), temperature)
        assert_allclose(found, expected / expected.sum(), atol=2e-5)

    def test_at_zero_take_the_likeliest_and_of_equals_the_first(self):
        assert_array_equal(self.shares([0.2, 0.5, 0.3], 0.0), [0, 1, 0])
        assert_array_equal(self.shares([0.2, 0.4, 0.4], 0.0), [0, 1, 0])

    @pytest.mark.parametrize("temperature", [1e-6, 1e-40, 1e-300])
    def test_near_zero_tend_to_it(self, temperature):
        assert_array_equal(self.shares([0.2, 0.5, 0.3], temperature), [0, 1, 0])

    def test_resolve_a_jump_of_one_in_a_thousand_million(self):
        scores = torch.tensor([1 - 1e-9, 1e-9], dtype=torch.float64).log().float().expand(2, -1)
        numbers = torch.tensor([1 - 1.01e-9, 1 - 0.99e-9], dtype=torch.float64)
        assert drawn(scores, numbers, 1.0).tolist() == [0, 1]

    @pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 9.0])
    def test_never_give_what_is_impossible(self, temperature):
        extremes = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
        scores = torch.tensor([0.0, 0.7, 0.3, 0.0]).log().expand(2, -1)
        assert set(drawn(scores, extremes, temperature).tolist()) <= {1, 2}

    def test_are_the_same_for_shifted_scores(self):
        scores = torch.tensor([0.3, -0.2, 1.0])
        numbers = self.NUMBERS[::100]
        high, low = (drawn((scores + shift).expand(1000, -1), numbers, 0.7) for shift in (300.0, -300.0))
        assert (high == low).float().mean() > 0.99


class TestEveryModel:
    @every
    def test_gives_whole_numbers_for_chains_and_frames(self, name):
        chains = model_of(name).sample(7, n_chains=5)
        assert chains.shape == (5, 7) and chains.dtype == np.int64
        assert chains.min() >= 0 and chains.max() <= 2

    @every
    def test_the_same_seed_gives_the_same_and_another_another(self, name):
        model = model_of(name)
        one, again, other = (model.sample(50, n_chains=20, seed=seed) for seed in (1, 1, 2))
        assert_array_equal(one, again)
        assert (one != other).any()

    @every
    def test_asks_no_global_generator(self, name):
        model = model_of(name)
        torch.manual_seed(5)
        one = model.sample(20)
        after = torch.random.get_rng_state()
        torch.manual_seed(5)
        assert torch.equal(after, torch.random.get_rng_state())
        torch.manual_seed(6)
        assert_array_equal(one, model.sample(20))

    @every
    def test_a_longer_sample_begins_with_the_shorter(self, name):
        model = model_of(name)
        long = model.sample(BLOCK_FRAMES + 30, n_chains=3, seed=4)
        for n_frames in (1, 2, BLOCK_FRAMES, BLOCK_FRAMES + 1):
            assert_array_equal(model.sample(n_frames, n_chains=3, seed=4), long[:, :n_frames])

    @every
    def test_chains_start_where_they_are_told(self, name):
        model = model_of(name)
        assert_array_equal(model.sample(3, n_chains=4, start=2)[:, 0], [2, 2, 2, 2])
        assert_array_equal(model.sample(3, start=[0, 2, 1])[:, 0], [0, 2, 1])
        assert_array_equal(model.sample(3, start=np.array([[0, 1], [2, 0]]))[:, 0], [1, 0])

    @every
    def test_left_alone_they_start_as_the_training_data_are_spread(self, name):
        starts = model_of(name).sample(1, n_chains=20_000)[:, 0]
        assert_allclose(np.bincount(starts) / 20_000, [0.5, 0.3, 0.2], atol=0.015)

    @every
    def test_a_chain_cut_and_continued_goes_on_as_if_uncut(self, name):
        model = model_of(name)
        whole = model.sample(60, start=[0, 1, 2], temperature=0.0)
        for cut in (1, 7, 30):
            assert_array_equal(model.sample(61 - cut, start=whole[:, :cut], temperature=0.0), whole[:, cut - 1 :])

    @every
    def test_all_of_a_history_counts(self, name):
        model, histories = model_of(name), torch.randint(3, (200, 20))
        with torch.no_grad():
            likeliest = model.stepper(histories)[:, -1].argmax(-1)
        assert_array_equal(model.sample(2, start=histories.numpy(), temperature=0.0)[:, 1], likeliest)

    @every
    def test_at_temperature_zero_nothing_is_random(self, name):
        model = model_of(name)
        one, other = (model.sample(40, n_chains=6, start=1, temperature=0.0, seed=seed) for seed in (1, 2))
        assert_array_equal(one, other)
        assert_array_equal(one, np.repeat(one[:1], 6, axis=0))

    @every
    @pytest.mark.parametrize("temperature", [0.6, 1.0])
    def test_states_follow_each_other_as_often_as_the_model_says(self, name, temperature):
        """Against the model's own scores along its own chains: each count less its expectation, in its own error."""
        model = model_of(name)
        chains = torch.as_tensor(model.sample(100, n_chains=300, temperature=temperature))
        with torch.no_grad():
            probabilities = (model.stepper(chains)[:, :-1].double() / temperature).softmax(-1)
        observed = torch.nn.functional.one_hot(chains[:, 1:], 3)
        for state in range(3):
            here = chains[:, :-1] == state
            surprise = (observed - probabilities)[here].sum(0)
            error = (probabilities * (1 - probabilities))[here].sum(0).sqrt()
            assert (surprise.abs() <= 4 * error + 1e-9).all()

    @every
    def test_chains_come_as_state_trajectories(self, name):
        model = model_of(name)
        chains = model.trajectories(9, n_chains=2, seed=3, temperature=0.5)
        assert all(isinstance(chain, StateTrajectory) for chain in chains)
        assert_array_equal([chain.states for chain in chains], model.sample(9, n_chains=2, seed=3, temperature=0.5))
        first = chains[0]
        assert (first.n_states, first.dt_fs, first.labels) == (3, 10.0, ("a", "b", "c"))
        assert first.name == f"{name}, chain 1"
        assert first.provenance == {"model": name, "n_chains": 2, "seed": 3, "temperature": 0.5}


class TestRefused:
    @pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
    def test_is_a_temperature_that_is_none(self, temperature):
        with pytest.raises(InvalidSettings, match=f"temperature was {temperature}; it must be finite and at least 0"):
            model_of("LSTM").sample(5, temperature=temperature)

    @pytest.mark.parametrize("sizes", [{"n_frames": 0}, {"n_frames": 5, "n_chains": 0}])
    def test_is_nothing_to_sample(self, sizes):
        with pytest.raises(InvalidSettings, match="at least 1 of each"):
            model_of("LSTM").sample(**sizes)

    @pytest.mark.parametrize(
        ("start", "said"),
        [
            ([0, 3], "run from 0 to 3; the model's states are 0 to 2"),
            (-1, "run from -1 to -1"),
            ([0.0, 1.0], "Starts were float64"),
            (np.zeros((2, 0), dtype=int), r"shape \(2, 0\); needed is"),
            (np.zeros((2, 2, 2), dtype=int), r"shape \(2, 2, 2\); needed is"),
        ],
    )
    def test_are_starts_that_are_no_states(self, start, said):
        with pytest.raises(InvalidTrajectory, match=said):
            model_of("LSTM").sample(5, start=start)

    def test_are_starts_for_other_chains(self):
        with pytest.raises(InvalidSettings, match="Found 2 starts for 3 chains"):
            model_of("LSTM").sample(5, n_chains=3, start=[0, 1])

    @every
    def test_is_data_of_other_states_or_spacing(self, name):
        model, states = model_of(name), [0, 1] * 10
        with pytest.raises(ModelMismatch, match="'tokens' has 2 states, the model 3"):
            model.cross_entropy(tokens(states, 2))
        with pytest.raises(ModelMismatch, match="a frame every 20 fs, the model every 10 fs"):
            model.cross_entropy(tokens(states, 3, dt_fs=20.0))
        assert model.cross_entropy(tokens(states, 3)) > 0


class TestMarkovChain:
    def test_counts_what_follows_what_and_never_across_trajectories(self):
        chain = MarkovChain.fit([tokens([0, 0, 1, 0], 2), tokens([1, 1, 1, 0, 0], 2)])
        assert_allclose(chain.transition_matrix, [[2 / 3, 1 / 3], [2 / 4, 2 / 4]])
        assert_allclose(chain.frequencies, [5 / 9, 4 / 9])
        assert (chain.dt_fs, chain.n_states, chain.never_left) == (10.0, 2, ())

    def test_finds_the_chain_that_made_the_data_and_its_entropy(self):
        data = replicas(3)
        chain = MarkovChain.fit(data)
        assert_allclose(chain.transition_matrix, THREE, atol=0.02)
        assert chain.transition_matrix[2, 0] == 0
        one_by_one = [-np.log(chain.transition_matrix[a, b]) for a, b in pairwise(data[0].states)]
        assert chain.cross_entropy(data[0]) == pytest.approx(np.mean(one_by_one), rel=1e-9)

    def test_its_samples_have_its_probabilities(self):
        chain = model_of("order-1 chain")
        again = MarkovChain.fit(chain.trajectories(500))
        assert_allclose(again.transition_matrix, THREE, atol=0.01)
        assert again.transition_matrix[2, 0] == 0

    def test_a_prior_is_added_to_every_count(self):
        chain = MarkovChain.fit(tokens([0, 0, 1, 0], 3), prior=0.5)
        assert_allclose(
            chain.transition_matrix, [[1.5 / 3.5, 1.5 / 3.5, 0.5 / 3.5], [1.5 / 2.5, 0.2, 0.2], [1 / 3] * 3]
        )
        assert chain.never_left == (2,)

    def test_a_state_nobody_was_seen_to_leave_is_refused_or_kept(self):
        data = tokens([0, 1, 0, 3], 4)
        with pytest.raises(InvalidTrajectory, match=r"No step was counted from the states \[2, 3\].*Give a prior"):
            MarkovChain.fit(data)
        chain = MarkovChain.fit(data, stay_where_unknown=True)
        assert chain.never_left == (2, 3)
        assert_allclose(chain.transition_matrix[2:], [[0, 0, 1, 0], [0, 0, 0, 1]])
        assert_array_equal(chain.sample(20, start=[2, 3]), np.repeat([[2], [3]], 20, axis=1))

    def test_a_constant_trajectory_stays(self):
        chain = MarkovChain.fit(tokens([1] * 9, 2), stay_where_unknown=True)
        assert_array_equal(chain.sample(30, n_chains=2), np.ones((2, 30)))
        assert chain.cross_entropy(tokens([1] * 9, 2)) == 0

    def test_refuses_data_that_tell_nothing(self):
        with pytest.raises(InvalidTrajectory, match="No state trajectory was given"):
            MarkovChain.fit([])
        with pytest.raises(TrajectoryTooShort, match="spans 2 frames.*has 1"):
            MarkovChain.fit(tokens([0], 2))
        for prior in (-1.0, float("nan")):
            with pytest.raises(InvalidSettings, match="prior was"):
                MarkovChain.fit(tokens([0, 1, 0], 2), prior=prior)

    @pytest.mark.parametrize(("other", "said"), [({"dt_fs": 5.0}, "every 5 fs"), ({"n_states": 4}, "has 4 states")])
    def test_refuses_trajectories_that_differ(self, other, said):
        states = markov_states(THREE, 50, seed=0)
        odd = tokens(states, **({"n_states": 3, "name": "odd"} | other))
        with pytest.raises(ModelMismatch, match=f"'odd' (has )?.*{said}"):
            MarkovChain.fit([tokens(states, 3), odd])
