"""What a program reads from YAML and JSON files of its project is known to the rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlcheck.lint.api import check_paths

LOOP = """
    for epoch in range(9):
        for x in loader:
            model(x.to("cuda")).backward()
"""
READERS = {
    "an open file": """
import yaml
from torch.utils.data import DataLoader

def main(ds, model):
    with open("conf/train.yaml") as file:
        cfg = yaml.safe_load(file)
    loader = DataLoader(ds, shuffle=True, num_workers=cfg["loader"]["workers"])
""",
    "its text": """
import yaml
from pathlib import Path
from torch.utils.data import DataLoader

def main(ds, model):
    cfg = yaml.safe_load((Path(__file__).parent / "conf" / "train.yaml").read_text())["loader"]
    loader = DataLoader(ds, shuffle=True, num_workers=cfg.get("workers", 0))
""",
    "a command-line argument": """
import argparse
import yaml
from easydict import EasyDict
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser()
parser.add_argument("--config", default="conf/train.yaml")

def main(ds, model):
    args = parser.parse_args()
    cfg = EasyDict(yaml.load(open(args.config), Loader=yaml.FullLoader))
    loader = DataLoader(ds, shuffle=True, num_workers=cfg.loader.workers)
""",
    "OmegaConf": """
import os
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

def main(ds, model):
    cfg = OmegaConf.load(os.path.join("conf", "train.yaml"))
    loader = DataLoader(ds, shuffle=True, num_workers=cfg.loader.workers)
""",
    "Hydra": """
import hydra
from torch.utils.data import DataLoader

@hydra.main(config_path="conf", config_name="train", version_base=None)
def run(cfg):
    main(cfg.loader, None, None)

def main(cfg, ds, model):
    loader = DataLoader(ds, shuffle=True, num_workers=cfg.workers)
""",
    "Hydra, composed": """
import hydra
from torch.utils.data import DataLoader

@hydra.main(config_path="conf", config_name="composed", version_base=None)
def run(cfg):
    main(cfg.loader, None, None)

def main(cfg, ds, model):
    loader = DataLoader(ds, shuffle=True, num_workers=cfg.workers)
""",
    "JSON": """
import json
from torch.utils.data import DataLoader

def main(ds, model):
    cfg = json.load(open("conf/train.json"))
    loader = DataLoader(ds, shuffle=True, num_workers=cfg["loader"]["workers"])
""",
}


def write(folder: Path, code: str, workers: int) -> None:
    (folder / "conf" / "loader").mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(code + LOOP)
    (folder / "conf" / "train.yaml").write_text(f"loader:\n  workers: {workers}\n")
    (folder / "conf" / "train.json").write_text(json.dumps({"loader": {"workers": workers}}))
    (folder / "conf" / "composed.yaml").write_text("defaults:\n  - loader: fast\n  - _self_\n")
    (folder / "conf" / "loader" / "fast.yaml").write_text(f"workers: {workers}\n")


def restarted(folder: Path) -> bool:
    """Whether workers are said to be started anew in every epoch, as they are where there are some."""
    found = check_paths([folder], root=folder, cached=True, cache_dir=folder.parent / "cache")
    assert not found.errors and not found.failures
    return any(finding.rule == "DLC205" for finding in found.findings)


@pytest.mark.parametrize("code", READERS.values(), ids=READERS.keys())
def test_the_file_says_how_many_workers_there_are(code: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write(folder, code, 4)
    assert restarted(folder)
    write(folder, code, 0)
    assert not restarted(folder)
    write(folder, code, 4)
    assert restarted(folder)


def test_files_outside_of_the_project_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write(folder, READERS["an open file"], 4)
    (folder / "conf" / "train.yaml").rename(tmp_path / "outside.yaml")
    (folder / "conf" / "train.yaml").symlink_to(tmp_path / "outside.yaml")
    assert not restarted(folder)
    write(folder, READERS["an open file"].replace("conf/train.yaml", "../outside.yaml"), 4)
    assert not restarted(folder)


@pytest.mark.parametrize(
    "content",
    [
        "loader: [",
        "loader: !!python/object/apply:os.abort []",
        "&a [*a]",
        "loader: 2001-01-01",
        "x: &x {a: 1}\n"
        + "".join(f"x{n}: &x{n} [{', '.join(['*x' + str(n - 1 or '')] * 9)}]\n" for n in range(1, 30)),
        "a" * 2_000_000,
        "\0",
    ],
    ids=["broken", "object", "recursive", "date", "bomb", "large", "binary"],
)
def test_what_is_no_file_of_settings_is_not_known(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write(folder, READERS["an open file"], 4)
    (folder / "conf" / "train.yaml").write_text(content)
    assert not restarted(folder)
