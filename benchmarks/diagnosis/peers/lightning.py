"""Lightning's warnings about loaders (``_worker_check`` of its data connector), for the loaders that the program iterates."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.diagnosis.peers.answer import Answer, of_advice, run
from benchmarks.diagnosis.program import Pipeline

_CHECKED = """
import runpy, sys, types, warnings
from lightning.pytorch.trainer.connectors.data_connector import _worker_check
from torch.utils.data import DataLoader
trainer = types.SimpleNamespace(num_devices=1, reload_dataloaders_every_n_epochs=0)
original = DataLoader.__iter__
def checked(self):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _worker_check(trainer, self, "train_dataloader")
    for warning in said:
        print("said", "workers" if "many workers" in str(warning.message) else "other", flush=True)
    return original(self)
DataLoader.__iter__ = checked
module = runpy.run_path(sys.argv[1], run_name="checked")
module["main"]()
"""


def ask(pipeline: Pipeline, script: Path) -> Answer:
    said = "said workers" in run([sys.executable, "-c", _CHECKED, str(script)], script.parent)
    return of_advice(pipeline, "more workers" if said else "nothing", said, "num_workers")
