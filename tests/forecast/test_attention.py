"""Attention: what its weights are, what masking does, and that a record is what was used."""

from __future__ import annotations

import pytest
import torch
from contracts.small_models import held_out, small_model
from torch.testing import assert_close
from values_read import values_read

from asteroid_nb.forecast.attention import FEW_KEYS, Attention, DistanceBias, blocked, recording, softmax
from asteroid_nb.forecast.layers import causal

MODES = ("softmax", "continuous")


@pytest.fixture(params=MODES)
def attention(request):
    return Attention(12, 3, mode=request.param)


@pytest.fixture
def bias():
    return causal(5, 5, torch.device("cpu"))


def heads_apart(x):
    return x.unflatten(-1, (3, 4)).transpose(-2, -3)


@torch.no_grad()
def test_weights_follow_their_definition(attention, bias):
    tokens = torch.randn(2, 5, 12)
    keys, values = attention.project(tokens)
    queries = heads_apart(attention.query(tokens))
    scores = torch.exp(queries @ keys.mT / 4**0.5) * (bias == 0)
    n_seen = torch.arange(1, 6)[:, None]
    expected = scores / (scores.sum(-1, keepdim=True) if attention.mode == "softmax" else n_seen)
    assert_close(attention.weights(queries, keys, bias), expected)
    gathered = attention.out((expected @ values).transpose(-2, -3).flatten(-2))
    assert_close(attention(tokens, bias=bias), gathered)


@torch.no_grad()
def test_recording_changes_no_result(attention, bias):
    tokens, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    for options in ({"bias": bias}, {"memory": memory}, {"projected": attention.project(memory)}):
        plain = attention(tokens, **options)
        with recording(attention) as record:
            assert_close(attention(tokens, **options), plain, rtol=0, atol=1e-6)
        assert list(record) == [""]
        assert attention.recorded is None and not attention.recording


def test_masked_keys_have_no_weight_and_no_influence(attention, bias):
    tokens = torch.randn(1, 5, 12)
    with recording(attention) as record:
        before = attention(tokens, bias=bias)
    assert (record[""][..., bias < 0] == 0).all()
    tokens[:, 3:] += 1.0
    assert_close(attention(tokens, bias=bias)[:, :3], before[:, :3])


def test_causal_bias_lets_the_last_queries_see_no_later_key():
    expected = torch.tensor([[True, True, True, False], [True, True, True, True]])
    assert ((causal(2, 4, torch.device("cpu")) == 0) == expected).all()
    assert (blocked(expected) == causal(2, 4, torch.device("cpu"))).all()


@pytest.mark.parametrize(("n_queries", "n_keys"), [(4, 1), (4, 5), (2, FEW_KEYS + 1)])
def test_a_forecast_without_gradients_is_what_training_sees(n_queries, n_keys):
    attention, tokens, memory = Attention(12, 3), torch.randn(2, n_queries, 12), torch.randn(2, n_keys, 12)
    bias = torch.randn(2, 1, n_queries, n_keys)
    bias[..., 1:] = bias[..., 1:].masked_fill(torch.rand(2, 1, n_queries, n_keys - 1) < 0.3, float("-inf"))
    learning = attention(tokens, memory, bias=bias).detach()
    with torch.no_grad():
        assert_close(attention(tokens, memory, bias=bias), learning)
        scores = bias + 40.0 * torch.randn(2, 3, n_queries, n_keys)
        for exact in (scores, scores.bfloat16()):
            assert_close(softmax(exact), exact.softmax(-1))


def test_distances_begin_without_influence_and_come_to_have_one():
    bias, distances = DistanceBias(3), torch.rand(2, 4, 4) * 6
    assert bias(distances).shape == (2, 3, 4, 4)
    assert_close(bias(distances), bias.to_heads.bias[None, :, None, None].expand(2, 3, 4, 4))
    torch.nn.init.normal_(bias.to_heads.weight)
    assert bias(distances).std() > 0.1


@pytest.mark.parametrize("decode", ["parallel", "autoregressive"])
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_the_record_of_a_forecast_recomputes_the_output_of_every_layer(mode, decode):
    model, window = small_model(attention=mode, decode=decode, conjugate="none"), held_out()[:2]
    plain = model.forecast(window, cached=False)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Attention)}
    used = {}

    def keep(name):
        def hook(layer, args, options, output):
            used[name] = layer, values_read(layer, args, options), output

        return hook

    hooks = [layer.register_forward_hook(keep(name), with_kwargs=True) for name, layer in layers.items()]
    with recording(model) as record:
        recorded = model.forecast(window, cached=False)
    for hook in hooks:
        hook.remove()
    assert_close(recorded, plain, rtol=0, atol=1e-4)
    assert set(record) == set(used) == set(layers)
    for name, (layer, values, output) in used.items():
        weights = record[name]
        assert_close(layer.out((weights @ values).transpose(-2, -3).flatten(-2)), output, rtol=1e-4, atol=1e-5)
        if mode == "softmax":
            assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@torch.no_grad()
def test_nothing_is_kept_outside_a_recording():
    model, window = small_model(), held_out()[:2]
    with recording(model) as record:
        model.forecast(window)
    kept = {name: weights.clone() for name, weights in record.items()}
    model.forecast(held_out()[5:9])
    for layer in model.modules():
        if isinstance(layer, Attention):
            assert layer.recorded is None and not layer.recording
    for name, weights in record.items():
        assert_close(weights, kept[name], rtol=0, atol=0)


def test_a_recording_that_fails_is_closed_too():
    model = small_model()
    with pytest.raises(ValueError, match="on purpose"), recording(model):
        raise ValueError("on purpose")
    assert not any(layer.recording for layer in model.modules() if isinstance(layer, Attention))


@torch.no_grad()
def test_local_attention_looks_at_neighbours_and_registers_at_themselves():
    model, window = small_model(hops=1, cutoff_ang=0.1, registers=2), held_out()[:1]
    with recording(model) as record:
        model.forecast(window)
    weights = record["encoder.0.spatial.local"].amax((0, 1, 2))
    bonded = torch.eye(9, dtype=torch.bool)
    bonded[tuple(torch.as_tensor(model.molecule.bonds).T)] = True
    bonded = bonded | bonded.T
    assert ((weights[:9, :9] > 0) == bonded).all()
    assert (weights[:9, 9:] == 0).all() and (weights[9:, :9] == 0).all()
    assert_close(weights[9:, 9:], torch.eye(2))
    assert (record["encoder.0.spatial.wide"] > 0).all()
