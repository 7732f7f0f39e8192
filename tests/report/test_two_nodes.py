"""``torchrun`` on two nodes, each under ``dlcheck run`` of its own, merged into one report. The nodes are two network
namespaces joined by a cable where this machine allows that, else two agents on it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "probe" / "programs" / "ranks.py"


@dataclass(frozen=True)
class Nodes:
    """How to start a command on each node, the address of the first, and the name of their network devices."""

    prefixes: tuple[list[str], list[str]]
    address: str
    devices: tuple[str, str]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    names = [f"dlcheck{os.getpid()}{letter}" for letter in "ab"]
    devices = (f"dlc{os.getpid()}a", f"dlc{os.getpid()}b")
    made = []
    try:
        if shutil.which("ip") is None:
            raise OSError("there is no ip")
        for name in names:
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", devices[0], "type", "veth", "peer", "name", devices[1])
        for number, (name, device) in enumerate(zip(names, devices, strict=True)):
            _ip("link", "set", device, "netns", name)
            inside = ["-n", name]
            _ip(*inside, "addr", "add", f"10.231.7.{number + 1}/24", "dev", device)
            _ip(*inside, "link", "set", device, "up")
            _ip(*inside, "link", "set", "lo", "up")
        prefixes = tuple(["ip", "netns", "exec", name] for name in names)
        print("two network namespaces")
        yield Nodes((prefixes[0], prefixes[1]), "10.231.7.1", devices)
    except (OSError, subprocess.CalledProcessError):
        print("two agents on this machine")
        yield Nodes(([], []), "127.0.0.1", ("lo", "lo"))
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def test_the_report_of_two_nodes_names_the_late_rank(nodes: Nodes, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    port = free_port()
    runs = []
    for number, prefix in enumerate(nodes.prefixes):
        dlcheck = [
            sys.executable,
            "-m",
            "dlcheck",
            "run",
            "--quiet",
            "--output",
            str(tmp_path / f"node{number}"),
        ]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        torchrun += ["--node-rank", str(number), "--master-addr", nodes.address, "--master-port", str(port)]
        runs.append(
            subprocess.Popen(
                [*prefix, *dlcheck, "--", *torchrun, str(PROGRAM)],
                env=os.environ | {"GLOO_SOCKET_IFNAME": nodes.devices[number], "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ended = [(run.communicate(timeout=150), run.returncode) for run in runs]
    assert [code for _, code in ended] == [0, 0], ended
    # Beside the nodes' recordings lies what is none.
    (tmp_path / "logs").mkdir()
    command = [sys.executable, "-m", "dlcheck", "report", str(tmp_path)]
    report = json.loads(subprocess.check_output([*command, "--format", "json"], text=True))
    assert {(each["rank"], each["node"]) for each in report["loaders"]} == {(0, "node0"), (1, "node1")}
    late, early = report["ranks"]
    assert (late["rank"], late["node"], late["steps"], early["rank"]) == (1, "node1", 12, 0)
    assert late["held_up_s"] > early["held_up_s"] and late["last_share"] > 0.5
    text = " ".join(subprocess.check_output(command, text=True).split())
    assert "rank 1 on node1" in text and "rank 0 on node0" in text
    html = subprocess.check_output([*command, "--format", "html"], text=True)
    assert "Ranks side by side" in html
