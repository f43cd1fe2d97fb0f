"""The weights on show are those the forecast used: each layer's output is recomputed from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import small_model, walkers
from torch.testing import assert_close
from values_read import values_read

from asteroid_nb.forecast.attention import Attention
from asteroid_nb.forecast.rollout import predict
from asteroid_nb.forecast.run import Run
from asteroid_nb.widgets.attention_door import explore_attention

START = 11


def used_by_a_forecast(run: Run) -> dict[str, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Return values and output of every call of every layer while `predict` runs, by the layer's own name."""
    calls: dict[str, list] = {}
    hooks = []
    for name, layer in run.model.named_modules():
        if isinstance(layer, Attention):

            def keep(layer, args, options, output, name=name):
                calls.setdefault(name, []).append((values_read(layer, args, options), output))

            hooks.append(layer.register_forward_hook(keep, with_kwargs=True))
    predict(run, walkers()[0], starts=START)
    for hook in hooks:
        hook.remove()
    return calls


def joined(calls: list, over_atoms: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return [each, heads, keys, …] values and [each, queries, width] output of all calls: slots come one by one."""
    if over_atoms:  # [windows, times, …]: every call brings times of its own
        values, outputs = (torch.cat([call[part] for call in calls], dim=1) for part in (0, 1))
        return values[0], outputs[0]
    return calls[-1][0][0], torch.cat([output for _, output in calls], dim=2)[0]


def shown_weights(explorer, name: str) -> torch.Tensor:
    """Return [each, heads, queries, keys], read off the explorer map by map."""
    part, layer, kind = name.split(".")
    controls = explorer.controls
    controls.kind.value, controls.layer.value = f"{part} {kind}", int(layer)
    between = controls.labels.between_atoms
    count = len(controls.labels.each)
    maps = []
    for each in range(count):
        if between:
            controls.time.index = each
        else:
            controls.query.index = each + 1
        for head in range(1, len(controls.head.options)):
            controls.head.index = head
            assert (explorer.record, controls.each) == (name, each)
            maps.append(explorer.weights)
    return torch.as_tensor(np.stack(maps)).unflatten(0, (count, -1))


def explorer_of(run: Run, start: int = START):
    explorer = explore_attention(run, walkers()[0], start=start)
    explorer._redraw = lambda: None  # that the figures hold these weights is tested beside the figures
    return explorer


@pytest.mark.parametrize(
    ("mode", "changes"),
    [("softmax", {}), ("continuous", {}), ("softmax", {"decode": "autoregressive", "local": "variable"})],
    ids=["softmax", "continuous", "autoregressive-variable"],
)
@torch.no_grad()
def test_the_weights_on_show_recompute_every_layer_of_the_forecast(mode, changes):
    """Up to rounding: the forecast and the record centre the same window in different precision."""
    run = Run(small_model(attention=mode, **changes), 1.0)
    explorer, layers, calls = explorer_of(run), dict(run.model.named_modules()), used_by_a_forecast(run)
    shown = {layer: layer.replace("spatial.", "").replace("wide", "global") for layer in calls}
    expected = {"encoder.0.local", "encoder.0.global", "encoder.0.temporal"}
    assert set(shown.values()) == expected | {
        f"decoder.0.{kind}" for kind in ("local", "global", "temporal", "transformation")
    }
    for layer_name, name in shown.items():
        weights, layer = shown_weights(explorer, name), layers[layer_name]
        values, output = joined(calls[layer_name], explorer.controls.labels.between_atoms)
        missed = layer.out((weights @ values).transpose(-2, -3).flatten(-2)) - output
        assert missed.abs().max() < 1e-3 * output.std(), name
        sums = weights.sum(-1)
        if mode == "softmax":
            assert_close(sums, torch.ones_like(sums))
        else:
            assert (sums - 1).abs().max() > 0.01
    explorer.close()


@torch.no_grad()
def test_weights_of_the_next_window_would_not_do():
    run = Run(small_model(), 1.0)
    layer, calls = dict(run.model.named_modules())["encoder.0.temporal"], used_by_a_forecast(run)
    explorer = explorer_of(run, START + 1)
    values, output = joined(calls["encoder.0.temporal"], False)
    weights = shown_weights(explorer, "encoder.0.temporal")
    assert (layer.out((weights @ values).transpose(-2, -3).flatten(-2)) - output).abs().max() > 0.1 * output.std()
    explorer.close()


@torch.no_grad()
def test_the_mean_over_heads_is_what_it_says():
    explorer = explorer_of(Run(small_model(), 1.0))
    for kind in explorer.controls.kind.options:
        explorer.controls.kind.value = kind
        heads = []
        for head in range(1, len(explorer.controls.head.options)):
            explorer.controls.head.index = head
            heads.append(explorer.weights)
        explorer.controls.head.index = 0
        np.testing.assert_allclose(explorer.weights, np.mean(heads, axis=0), rtol=1e-6)
    explorer.close()
