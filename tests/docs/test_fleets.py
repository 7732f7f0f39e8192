"""The examples of ``docs/fleets.md`` are what Slurm, bash and the training operator of Kubeflow accept."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlcheck.report.run_parquet import TABLES

TEXT = (Path(__file__).parents[2] / "docs" / "fleets.md").read_text(encoding="utf-8")

# Of kubeflow.org/v1: the JSON names of PyTorchJobSpec, RunPolicy, ReplicaSpec; of a pod those that are used here.
JOB = {"runPolicy", "elasticPolicy", "pytorchReplicaSpecs", "nprocPerNode"}
RUN_POLICY = {
    "cleanPodPolicy",
    "ttlSecondsAfterFinished",
    "activeDeadlineSeconds",
    "backoffLimit",
    "schedulingPolicy",
    "suspend",
    "managedBy",
}
REPLICA = {"replicas", "template", "restartPolicy"}
CONTAINER = {"name", "image", "command", "args", "resources", "securityContext", "volumeMounts"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def training_command(arguments: str) -> list[str]:
    """The command that ``dlcheck run`` is given, which must be what both programs' own parsers accept."""
    from dlcheck.cli.main import build_parser

    words = shlex.split(arguments.replace("\\\n", " "))
    words = words[words.index("dlcheck") + 1 :]
    parsed = build_parser({"run"}).parse_args(words)
    assert parsed.quiet and parsed.output
    target = [word for word in parsed.target if word != "--"]
    assert target[0] == "torchrun"
    return list(target[1:])


def torchrun_accepts(arguments: list[str]) -> Any:
    run = pytest.importorskip("torch.distributed.run")
    filled = [
        re.sub(r"\$\w*ADDR", "host", re.sub(r"\$\w*(RANK|ID|NNODES|PORT)", "1", word)) for word in arguments
    ]
    return run.get_args_parser().parse_args(filled)


def test_the_batch_script_is_bash() -> None:
    (script,) = blocks("bash")
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", script, re.MULTILINE))
    # One task for each node, or each would start all ranks of its node.
    assert options["ntasks-per-node"] == "1" and int(options["nodes"]) > 1
    assert script.startswith("#!/bin/bash\n#SBATCH") and script.count("#SBATCH") == len(options)
    (inner,) = re.findall(r"bash -c '\n(.*?)\n'", script, re.DOTALL)
    parsed = torchrun_accepts(training_command(inner))
    assert parsed.training_script == "train.py" and parsed.nnodes == "1" and parsed.master_addr == "host"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    (script,) = blocks("bash")
    # What stands in single quotes is meant for the shell of each node.
    command = ["shellcheck", "--exclude", "SC2016", "-"]
    done = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_job_is_a_pytorchjob() -> None:
    (text,) = blocks("yaml")
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert set(job) == {"apiVersion", "kind", "metadata", "spec"}
    spec = job["spec"]
    assert set(spec) <= JOB and set(spec["runPolicy"]) <= RUN_POLICY
    assert isinstance(spec["nprocPerNode"], str)
    assert set(spec["pytorchReplicaSpecs"]) == {"Master", "Worker"}
    assert spec["pytorchReplicaSpecs"]["Master"]["replicas"] == 1
    for replica in spec["pytorchReplicaSpecs"].values():
        assert set(replica) == REPLICA
        assert replica["restartPolicy"] in ("Always", "OnFailure", "Never", "ExitCode")
        pod = replica["template"]["spec"]
        (container,) = pod["containers"]
        # The operator looks for this name.
        assert container["name"] == "pytorch" and set(container) <= CONTAINER
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            one["name"] for one in pod["volumes"]
        }
        (arguments,) = container["args"]
        parsed = torchrun_accepts(training_command(arguments))
        assert parsed.training_script == "train.py" and parsed.node_rank == 1


def test_every_table_is_described() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == list(TABLES)
