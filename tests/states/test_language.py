"""Language models: causal, with a memory that gives what whole windows give, and built at matched size."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.states.language import LanguageModel, build, matched, n_parameters
from asteroid_nb.states.settings import LanguageSettings, LSTMSettings, TransformerSettings

N_STATES = 5
SMALL = {
    "LSTM": LSTMSettings(context=12, embedding=6, width=10, layers=2),
    "LSTM, tied": LSTMSettings(context=12, embedding=6, width=10, tied=True),
    "Transformer": TransformerSettings(context=12, width=12, layers=3, heads=2, feed_forward=16),
    "Transformer, tied": TransformerSettings(context=11, width=12, layers=2, heads=3, feed_forward=16, tied=True),
}
both = pytest.mark.parametrize("name", SMALL)
transformers = pytest.mark.parametrize("name", [name for name in SMALL if "Transformer" in name])


def small(name: str) -> LanguageModel:
    """Return an untrained model in double precision whose answers depend clearly on everything it sees."""
    model = build(SMALL[name], N_STATES).double().eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return model


def reach(settings: TransformerSettings) -> int:
    """Return how many frames, the present one included, a Transformer's layers together can see."""
    return settings.layers * (settings.window - 1) + 1


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randint(N_STATES, (3, 40))


def stepped(model: LanguageModel, states: torch.Tensor) -> torch.Tensor:
    """Return the scores that the model gives when it sees one state after the other."""
    memory, scores = model.begin(len(states)), []
    for column in states.T:
        found, memory = model.step(column, memory)
        scores.append(found)
    return torch.stack(scores, dim=1)


class TestEveryModel:
    @both
    def test_scores_every_next_state_of_every_window(self, name, states):
        assert small(name)(states).shape == (3, 40, N_STATES)

    @both
    @pytest.mark.parametrize("changed", [1, 20, 39])
    def test_sees_the_present_and_the_past_but_never_the_future(self, name, states, changed):
        model, other = small(name), states.clone()
        other[:, changed] = (states[:, changed] + 1) % N_STATES
        before, after = model(states), model(other)
        assert_close(after[:, :changed], before[:, :changed], rtol=0, atol=1e-12)
        assert ((after - before)[:, changed].abs().amax(-1) > 1e-6).all()

    @both
    def test_gives_the_same_step_by_step_as_at_once(self, name, states):
        model = small(name)
        assert_close(stepped(model, states), model(states), rtol=0, atol=1e-12)

    @both
    def test_answers_for_each_chain_alone(self, name, states):
        model = small(name)
        together = stepped(model, states)
        for chain in range(3):
            assert_close(stepped(model, states[[chain]]), together[[chain]], rtol=0, atol=1e-12)

    @both
    def test_trains_every_weight(self, name, states):
        model = small(name)
        model(states).logsumexp(-1).sum().backward()
        for label, weight in model.named_parameters():
            assert weight.grad is not None and weight.grad.abs().sum() > 0, label

    @both
    def test_starts_undecided(self, name, states):
        model = build(SMALL[name], N_STATES).eval()
        assert model(states).softmax(-1).max() < 0.9

    @both
    def test_hides_in_training_alone(self, name, states):
        model = build(SMALL[name].replace(dropout=0.5), N_STATES)
        assert not torch.equal(model.train()(states), model(states))
        assert torch.equal(model.eval()(states), model(states))


class TestTransformer:
    @transformers
    def test_the_rolling_cache_gives_what_a_pass_over_the_context_gives(self, name, states):
        model = small(name)
        scores, context = stepped(model, states), model.context
        for frame in range(context - 1, 40):
            alone = model(states[:, frame + 1 - context : frame + 1])[:, -1]
            assert_close(scores[:, frame], alone, rtol=0, atol=1e-12)

    @transformers
    def test_reaches_back_as_far_as_its_layers_and_no_further(self, name, states):
        model = small(name)
        far = reach(model.settings)
        assert model.context - model.settings.layers < far <= model.context
        for distance, seen in [(far, False), (far - 1, True)]:
            other = states.clone()
            other[:, -1 - distance] = (states[:, -1 - distance] + 1) % N_STATES
            change = (model(other) - model(states))[:, -1].abs().amax()
            assert (change > 1e-9) == seen

    def test_heads_begin_with_short_and_long_memories(self):
        model = build(TransformerSettings(), 4)
        weights = model.layers[0].attention.by_distance.softmax(-1)
        mean_distance = (weights * torch.arange(64)).sum(-1)
        assert (mean_distance.diff() > 0).all() and mean_distance[0] < 4 and mean_distance[-1] > 20


def test_an_lstm_remembers_further_than_a_training_window(states):
    model = small("LSTM")
    other = states.clone()
    other[:, 0] = (states[:, 0] + 1) % N_STATES
    assert (model(other) - model(states))[:, model.context + 1].abs().amax() > 1e-12


class TestSizes:
    @both
    def test_counts_are_of_the_model_that_is_built(self, name):
        held = sum(weight.numel() for weight in small(name).parameters())
        assert n_parameters(SMALL[name], N_STATES) == held

    def test_defaults_are_the_prototypes_and_within_two_percent_of_each_other(self):
        assert n_parameters(LSTMSettings(), 4) == 83_588
        assert n_parameters(TransformerSettings(), 4) == pytest.approx(83_588, rel=0.02)

    @pytest.mark.parametrize("n_states", [2, 4, 20, 245])
    @pytest.mark.parametrize("tied", [False, True])
    def test_matched_pairs_have_as_many_weights(self, n_states, tied):
        lstm, transformer = LSTMSettings(tied=tied), TransformerSettings(tied=tied)
        for settings, like in [(lstm, transformer), (transformer, lstm)]:
            fitted = matched(settings, n_states=n_states, like=like)
            assert n_parameters(fitted, n_states) == pytest.approx(n_parameters(like, n_states), rel=0.01)
        assert matched(lstm, n_states=n_states, like=lstm) == lstm

    def test_matching_changes_one_number(self):
        fitted = matched(TransformerSettings(), n_states=100, like=LSTMSettings())
        assert fitted == TransformerSettings(feed_forward=fitted.feed_forward)

    def test_what_cannot_be_matched_says_what_is_nearest(self):
        with pytest.raises(InvalidSettings, match=r"nearest that feed_forward can do is [\d,]+ \(feed_forward 1\)"):
            matched(TransformerSettings(width=128), n_states=4, like=LSTMSettings(width=16))


class TestRefused:
    @pytest.mark.parametrize("kind", [LSTMSettings, TransformerSettings])
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"context": 0}, "context was 0; it must be a whole number from 1"),
            ({"width": 20_000}, "width was 20000; it must be a whole number from 1 to 10000"),
            ({"layers": 1.0}, "layers was 1.0"),
            ({"layers": True}, "layers was True"),
            ({"dropout": 1.0}, "dropout was 1.0; it must be at least 0 and below 1"),
            ({"dropout": float("nan")}, "dropout was nan"),
            ({"tied": 1}, "tied was 1; it must be True or False"),
        ],
    )
    def test_are_numbers_out_of_range(self, kind, change, said):
        with pytest.raises(InvalidSettings, match=said):
            kind(**change)

    def test_are_heads_that_do_not_divide_the_width(self):
        with pytest.raises(InvalidSettings, match="heads 5 must divide width 64"):
            TransformerSettings(heads=5)

    @pytest.mark.parametrize("n_states", [0, 1])
    @both
    def test_is_less_than_two_states(self, name, n_states):
        with pytest.raises(InvalidSettings, match=f"at least 2 states, found {n_states}"):
            build(SMALL[name], n_states)

    @both
    def test_is_a_change_after_the_fact(self, name):
        settings: LanguageSettings = SMALL[name]
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.width = 3  # type: ignore[misc]
