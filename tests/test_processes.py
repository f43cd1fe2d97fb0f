"""What processes share: a batch by rows, so that the mean of their means is the mean, and what one does for all."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from contracts.small_models import training
from small_force_field import frames

from asteroid_nb import processes
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.fit_settings import FitSettings, make_fabric
from asteroid_nb.processes import alone, from_the_first, how_many, is_first, say, share_of


class TestShares:
    @pytest.mark.parametrize("n_processes", [2, 3, 7])
    @pytest.mark.parametrize("n_rows", [1, 2, 7, 15, 64])
    def test_hold_every_row_once_and_weigh_them_alike(self, n_rows, n_processes):
        rows = torch.randn(n_rows, 4, dtype=torch.float64)
        parts, weights = zip(*(share_of(rows, rank, n_processes) for rank in range(n_processes)), strict=True)
        counted = [part for part, weight in zip(parts, weights, strict=True) if weight]
        assert torch.equal(torch.cat(counted), rows)
        assert all(len(part) for part in parts)
        mean = sum(weight * part.mean(0) for part, weight in zip(parts, weights, strict=True)) / n_processes
        torch.testing.assert_close(mean, rows.mean(0))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_of_one_process_is_the_batch(self):
        batch = torch.randn(3, 2)
        assert share_of(batch, 0, 1) == (batch, 1.0)

    def test_of_windows_keep_history_future_and_origin_together(self):
        window = training()[:7]
        (first, one), (second, other) = (share_of(window, rank, 2) for rank in (0, 1))
        assert (len(first), len(second)) == (3, 4) and one + other == 2
        for name in ("history", "future", "origin"):
            whole = torch.cat([getattr(first, name), getattr(second, name)])
            assert torch.equal(whole, getattr(window, name))
        assert first.dt_fs == window.dt_fs

    def test_of_frames_with_forces_keep_labels_with_positions(self):
        [batch] = Frames.of([frames(n_frames=5)]).batches(torch.arange(5).numpy(), 5)
        mine, _ = share_of(batch, 1, 2)
        for name in ("positions", "atomic_numbers", "forces", "energies"):
            assert torch.equal(getattr(mine, name), getattr(batch, name)[2:])

    def test_of_tuples_cut_each_part(self):
        parts = torch.arange(4), torch.arange(8).view(4, 2)
        mine, weight = share_of(parts, 0, 4)
        assert weight == 1 and [len(one) for one in mine] == [1, 1]


class TestHowMany:
    @pytest.fixture
    def by_torchrun(self, monkeypatch):
        """Set what ``torchrun --nnodes 3 --nproc_per_node 4`` sets."""
        for name, value in {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "12"}.items():
            monkeypatch.setenv(name, value)

    def test_are_those_asked_for_without_a_launcher(self, monkeypatch):
        monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
        assert how_many(2, 3) == (2, 3)

    @pytest.mark.parametrize("asked", [(1, 1), (4, 3)])
    def test_are_those_torchrun_started(self, by_torchrun, asked):
        assert how_many(*asked) == (4, 3)

    @pytest.mark.parametrize("asked", [(2, 1), (4, 1), (12, 1)])
    def test_others_than_torchrun_started_are_refused(self, by_torchrun, asked):
        with pytest.raises(InvalidSettings, match="torchrun started 4 processes on each of 3 machines. Leave both"):
            how_many(*asked)

    def test_who_works_alone_is_one_even_under_torchrun(self, by_torchrun):
        with alone():
            assert how_many(4, 3) == (1, 1)
            fabric = make_fabric(FitSettings(device="cpu"))
        assert fabric.world_size == 1 and fabric.is_global_zero


def test_one_process_is_the_first_and_does_what_is_done_for_all(capsys):
    assert is_first()
    assert from_the_first(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        from_the_first(lambda: 1 // 0)
    say("once")
    assert capsys.readouterr().out == "once\n"


def test_who_is_asked_to_stop_while_it_waits_for_the_first_hears_what_that_made(monkeypatch):
    """The first is not at work before all are here, so that no stop finds one at work, the other not."""
    calls = []

    def met(group: object) -> None:
        calls.append("met")
        os.kill(os.getpid(), signal.SIGINT)

    def sent(box: list[object], **_: object) -> None:
        calls.append("sent")
        box[:] = [("stopped", None)]

    monkeypatch.setattr(processes, "are_several", lambda: True)
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(processes, "_patient", lambda: None)
    monkeypatch.setattr(processes.distributed, "barrier", met)
    monkeypatch.setattr(processes.distributed, "broadcast_object_list", sent)
    assert from_the_first(lambda: "not made here") == "stopped"
    assert calls == ["met", "sent"]
