"""Train arms of ``asteroid-nb bench equilibrium`` in one process, on a GPU where one is visible: to spread them out.

    CUDA_VISIBLE_DEVICES= python tests/benchmarks/equilibrium_arms.py --models DEQ --seeds 0 1 2 --epochs 100

The bench finds them in the folder where it is asked for as many epochs, and trains the rest. What was interrupted goes
on, also on another machine.
Needs torch, Lightning, NumPy and e3nn alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from asteroid_nb.bench.arms import MODELS, train_all
from asteroid_nb.bench.setting import FULL, Setting
from asteroid_nb.bench.sources import Source
from asteroid_nb.equilibrium.settings import PRESETS, preset


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    source = Source.named(options.data) if options.data else Source()
    setting, models = Setting(options.out, source, FULL), preset(options.preset)
    changes = {"n_epochs": options.epochs, "direct": options.direct, "layer": models.layer, "l_max": models.l_max}
    arms = [setting.arm(model, seed, **changes) for seed in options.seeds for model in options.models]
    for record in train_all(options.out, arms, processes=0):
        print(record["model"], record["seed"], record.get("test", record.get("failed")), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", help="NAME=FILE, as in the bench; bundled ethanol when not given")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=FULL.n_epochs)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/equilibrium"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
