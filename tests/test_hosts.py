"""`doctor --hosts`, with a program in ssh's place that runs the question here, or says no."""

import os
import sys
from importlib import metadata

import pytest

from pytorch_to_mlx.cli import main
from pytorch_to_mlx.errors import CheckError, MachineError, UsageError
from pytorch_to_mlx.hosts import Host, Hosts, ask_hosts

SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
case $2 in
  gone) echo "ssh: connect to host gone port 22: No route to host" >&2; exit 255;;
  bare) echo "sh: no such file" >&2; exit 127;;
  *) echo "a greeting"; exec sh -c "$3";;
esac
"""


@pytest.fixture(autouse=True)
def ssh(tmp_path, monkeypatch):
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_versions_are_those_of_the_machine():
    one, two, gone, bare = ask_hosts(["a,me@b.example", "gone", "bare"]).hosts
    assert one.versions["mlx"] == metadata.version("mlx") and one.versions["python"].startswith("3.")
    assert (two.name, two.versions, two.problem) == ("me@b.example", one.versions, None)
    assert gone.problem == "ssh: ssh: connect to host gone port 22: No route to host"
    assert bare.problem == f"{sys.executable} does not answer there: sh: no such file"


def test_machines_that_cannot_work_together():
    same = {"mlx": "1", "mlx-lm": "2", "pytorch-to-mlx": "3"}
    assert Hosts((Host("a", same), Host("b", same))).check()
    with pytest.raises(CheckError, match="mlx: 1 on a, 9 on b") as caught:
        Hosts((Host("a", same), Host("b", {**same, "mlx": "9", "mlx-lm": None}), Host("c", problem="gone"))).check()
    assert caught.value.details[:2] == ("c: gone", "mlx: 1 on a, 9 on b") and "b: mlx-lm is not" in str(caught.value)


@pytest.mark.parametrize("name", ["-oProxyCommand=evil", "a b", "a;b", ""])
def test_what_is_no_name_of_a_machine(name):
    with pytest.raises(UsageError):
        ask_hosts([name])


def test_without_ssh(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MachineError, match="there is no ssh"):
        ask_hosts(["a"])


def test_the_command(capsys):
    assert main(["doctor", "--hosts", "a,gone", "--quiet"]) == 5
    output = capsys.readouterr()
    assert metadata.version("mlx") in output.out and "No route to host" in output.err
