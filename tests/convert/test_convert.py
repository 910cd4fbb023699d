"""From a PyTorch checkpoint to a converted folder and on; and what must be refused (faults 48 to 50, 80 to 94)."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
import toy_net
import toy_torch
from mlx.utils import tree_flatten

from pytorch_to_mlx import checkpoint, registry
from pytorch_to_mlx.checkpoint import files as checkpoint_files
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import CheckError, FormatError, MachineError, UsageError
from pytorch_to_mlx.weights import load_model, new_folder, read_folder, write_folder

ROOT = Path(__file__).parent.parent.parent
IDS = [[3, 1, 49, 0, 7]]


def ours(folder):
    config = registry.family("toy-net").config
    model = registry.family("toy-net").model
    return load_model(folder, lambda data: model(config.from_dict(data)))[0]


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def error_of(module, net):
    with torch.no_grad():
        theirs = net.double()(torch.tensor(IDS)).numpy()
    return float(np.abs(np.array(module(mx.array(IDS)), np.float64) - theirs).max())


def test_convert_computes_what_pytorch_computes(tmp_path, source, net):
    out = convert(source, tmp_path / "out")
    assert out == tmp_path / "out"
    assert error_of(ours(out), net) < 1e-6
    assert names(out) == ["README.md", "config.json", "conversion.json", "model.safetensors", "voices/list.txt"]
    assert json.loads((out / "config.json").read_text()) == {**toy_net.CONFIG, "model_type": "toy-net"}
    assert (out / "voices" / "list.txt").read_text() == "one\ntwo\n"
    report = json.loads((out / "conversion.json").read_text())
    assert report["dropped"] == {"steps": "counts training steps"}
    assert report["tied"] == {"embed_copy.weight": "embed.weight"}
    assert report["config_ignored"] == ["novelty"]
    assert report["source_files"][0]["name"] == "net.pth"
    assert re.fullmatch("[0-9a-f]{64}", report["source_files"][0]["sha256"])
    readme = (out / "README.md").read_text()
    assert "pytorch-to-mlx toy-net validate --hf-path 'src' --mlx-path ." in readme
    assert str(tmp_path) not in readme + (out / "conversion.json").read_text()


def test_a_file_with_its_family_named(tmp_path, source, net):
    for path in (source / "net.pth", str(source / "net.pth")):
        with pytest.raises(FormatError, match="hidden_size is missing"):
            convert(path, tmp_path / "out", family="toy-net")
    assert not (tmp_path / "out").exists()


def test_the_same_source_gives_the_same_folder(tmp_path, source):
    one, two = convert(source, tmp_path / "a"), convert(source, tmp_path / "b")
    assert names(one) == names(two)
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names(one))


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 1e-3), ("bfloat16", 2e-2)])
def test_dtype_with_weights_kept_in_float32(tmp_path, source, net, dtype, bound):
    out = convert(source, tmp_path / "out", dtype=dtype)
    _, weights = read_folder(out)
    assert {str(w.dtype) for k, w in weights.items() if k.startswith("head.")} == {"mlx.core.float32"}
    assert {str(w.dtype) for k, w in weights.items() if not k.startswith("head.")} == {f"mlx.core.{dtype}"}
    assert json.loads((out / "conversion.json").read_text())["kept_float32"] == ["head.bias", "head.weight"]
    assert error_of(ours(out), net) < bound


@pytest.mark.parametrize(("bits", "bound"), [(8, 0.01), (4, 0.1)])
def test_quantize_and_back(tmp_path, source, net, bits, bound):
    packed = convert(source, tmp_path / "packed", quantize=True, q_bits=bits, q_group_size=32)
    config, weights = read_folder(packed)
    assert config["quantization"] == {"bits": bits, "group_size": 32, "mode": "affine"}
    assert weights["layers.0.weight"].dtype == mx.uint32
    assert 1e-6 < error_of(ours(packed), net) < bound
    plain = convert(packed, tmp_path / "plain", dequantize=True)
    assert "quantization" not in json.loads((plain / "config.json").read_text())
    difference = ours(plain)(mx.array(IDS)) - ours(packed)(mx.array(IDS))
    assert mx.abs(difference).max().item() < 1e-4
    assert (plain / "voices" / "list.txt").exists()


def test_a_converted_folder_converts_again(tmp_path, source):
    once = convert(source, tmp_path / "once")
    again = convert(once, tmp_path / "again")
    assert (once / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    direct = convert(source, tmp_path / "direct", quantize=True, q_group_size=32)
    later = convert(once, tmp_path / "later", quantize=True, q_group_size=32)
    assert (direct / "model.safetensors").read_bytes() == (later / "model.safetensors").read_bytes()
    half = convert(once, tmp_path / "half", dtype="float16")
    assert read_folder(half)[1]["head.bias"].dtype == mx.float32
    with pytest.raises(UsageError, match="the source is quantized"):
        convert(direct, tmp_path / "twice", quantize=True)
    with pytest.raises(UsageError, match="not a quantized"):
        convert(once, tmp_path / "twice", dequantize=True)
    with pytest.raises(UsageError, match="not a quantized"):
        convert(source, tmp_path / "twice", dequantize=True)


def test_a_published_checkpoint_by_its_hub_id(tmp_path, source, monkeypatch):
    downloads = []

    def download(repository, choose, *, revision, offline):
        downloads.append((repository, revision))
        return source

    monkeypatch.setattr(checkpoint.names, "download", download)
    out = convert("org/toy-net", tmp_path / "out", revision="abc")
    assert downloads == [("org/toy-net", "abc")], "located once"
    readme = (out / "README.md").read_text()
    assert "license: mit\nbase_model: org/toy-net" in readme and "--hf-path 'org/toy-net'" in readme


def test_a_release_of_several_files(tmp_path, family, net):
    toy_net.forget()
    (family / "weights.py").write_text(toy_net.FILES["weights.py"] + toy_net.OPEN_RELEASE)
    folder = toy_torch.write_checkpoint(tmp_path / "src", net)
    state = net.state_dict()
    (folder / "net.pth").unlink()
    for part, keys in (("a", list(state)[:5]), ("b", list(state)[5:])):
        torch.save({k: state[k] for k in keys}, folder / f"part_{part}.pt")
    out = convert(folder, tmp_path / "out")
    assert error_of(ours(out), net) < 1e-6
    files = json.loads((out / "conversion.json").read_text())["source_files"]
    assert [f["name"] for f in files] == ["part_a.pt", "part_b.pt"]


def test_float64_narrows_and_is_reported(tmp_path, source, net):
    torch.save(net.double().state_dict(), source / "net.pth")
    out = convert(source, tmp_path / "out")
    assert "head.bias" in json.loads((out / "conversion.json").read_text())["narrowed"]
    assert error_of(ours(out), net) < 1e-6


def test_weights_saved_with_the_tied_name_only(tmp_path, family, net):
    state = net.state_dict()
    del state["embed.weight"]
    folder = toy_torch.write_checkpoint(tmp_path / "src", net)
    torch.save(state, folder / "net.pth")
    assert error_of(ours(convert(folder, tmp_path / "out", family="toy-net")), net) < 1e-6


# What must be refused, with nothing at the destination


def refused(error, match, source, tmp_path, **options):
    with pytest.raises(error, match=match) as caught:
        convert(source, tmp_path / "deep" / "out", **options)
    assert not (tmp_path / "deep").exists()
    return caught.value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", -32),
        ("hidden_size", 10**9),
        ("hidden_size", 32.5),
        ("hidden_size", "32"),
        ("vocab_size", 10**12),
        ("num_hidden_layers", 10**9),
    ],
)
def test_c48_numbers_are_checked_before_allocation(tmp_path, source, net, key, value):
    toy_torch.write_checkpoint(source, net, config={**toy_net.CONFIG, key: value})
    assert refused(FormatError, f"1 problem in the configuration(.|\n)*{key}", source, tmp_path).exit_code == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 1}, r"unexpected: layers\.1\.weight   float32 \[32, 32\]"),
        ({"num_hidden_layers": 3}, r"missing: layers\.2\.bias   the model has float32 \[32\]"),
        ({"vocab_size": 96}, r"embed\.weight   the model has float32 \[96, 32\], the weights float32 \[50, 32\]"),
        ({"vocab_size": 10_000_000, "hidden_size": 10_000_000}, "the weights do not fit the model"),
    ],
)
def test_c49_config_contradicts_the_weights(tmp_path, source, net, change, said):
    toy_torch.write_checkpoint(source, net, config={**toy_net.CONFIG, **change})
    assert refused(FormatError, f"do not fit the model(.|\n)*{said}|{said}", source, tmp_path).exit_code == 4


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "toy-nett"}, "nearest: toy-net; families: toy-net"),
        ({"architectures": ["ToyNet"]}, "nearest: toy-net"),
        ({"model_type": "gpt-17"}, r"says gpt-17\); families: toy-net"),
        ({}, r"says no model_type\); families: toy-net"),
    ],
)
def test_c50_unknown_architecture(tmp_path, family, config, said):
    folder = toy_torch.write_checkpoint(tmp_path / "src", torch.nn.Linear(2, 2), config=config)
    assert refused(FormatError, said, folder, tmp_path).exit_code == 4
    refused(
        UsageError, "no model family is called 'toy-ner'; did you mean 'toy-net'", folder, tmp_path, family="toy-ner"
    )


def test_c49_value_that_the_port_was_not_made_for(tmp_path, source, net):
    toy_torch.write_checkpoint(source, net, config={**toy_net.CONFIG, "act": "gelu"})
    refused(FormatError, "act is 'gelu'; this port was made for 'tanh'", source, tmp_path)


def test_h91_tensors_without_a_rule_and_rules_without_a_tensor(tmp_path, source, net):
    state = net.state_dict()
    state["adapter.0.weight"] = state["adapter.1.weight"] = torch.zeros(2)
    del state["head.bias"], state["steps"]
    torch.save(state, source / "net.pth")
    error = refused(FormatError, "2 checkpoint tensors match no rule of 'toy-net'", source, tmp_path)
    assert "adapter.0.weight   float32 [2]   (+1 more)" in str(error)
    assert "drop(steps)" in str(error)


def test_h92_float16_overflow(tmp_path, source, net):
    with torch.no_grad():
        net.lin[1].weight[0, 0] = 1e6
    toy_torch.write_checkpoint(source, net)
    error = refused(
        CheckError, r"layers\.1\.weight \[32, 32\]: 1 value does not fit", source, tmp_path, dtype="float16"
    )
    assert error.exit_code == 5


def test_h93_nan(tmp_path, source, net):
    with torch.no_grad():
        net.head.bias[1] = float("nan")
    toy_torch.write_checkpoint(source, net)
    assert refused(CheckError, r"head\.bias \[3\] holds 1 NaN or Inf", source, tmp_path).exit_code == 5
    out = convert(source, tmp_path / "out", allow_nonfinite=True)
    with pytest.raises(CheckError, match=r"head\.bias: 1 of 3"):
        ours(out)
    with pytest.raises(CheckError, match=r"head\.bias"):
        convert(out, tmp_path / "again")


def test_g80_destinations(tmp_path, source):
    before = names(source)
    with pytest.raises(UsageError, match="lies in the source"):
        convert(source, source / "out")
    with pytest.raises(UsageError, match="exists"):
        convert(source, source)
    with pytest.raises(UsageError, match="lies in the source"):
        convert(source, source, force=True)
    with pytest.raises(UsageError, match="lies in the destination"):
        convert(source / "net.pth", source, family="toy-net", force=True)
    with pytest.raises(UsageError, match="no such file"):
        convert(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UsageError, match="quantize and dequantize"):
        convert(source, tmp_path / "out", quantize=True, dequantize=True)
    with pytest.raises(UsageError, match="dtype 'int7' is not supported"):
        convert(source, tmp_path / "out", dtype="int7")
    with pytest.raises(UsageError, match="bits is 7"):
        convert(source, tmp_path / "out", quantize=True, q_bits=7)
    assert names(source) == before and not (tmp_path / "out").exists()


def test_h88_lock_is_taken_before_the_work(tmp_path, source, monkeypatch):
    monkeypatch.setattr(registry.family("toy-net").config, "from_dict", lambda *_: pytest.fail("it converted"))
    with new_folder(tmp_path / "out"):
        with pytest.raises(MachineError, match="another conversion"):
            convert(source, tmp_path / "out")


@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite"])
def test_h89_source_changes_during_conversion(tmp_path, source, monkeypatch, change):
    path = source / "net.pth"

    def meanwhile(*_):
        data = path.read_bytes()
        path.write_bytes({"grow": data + b"x", "shrink": data[:-10], "rewrite": data[::-1]}[change])
        return {}

    monkeypatch.setattr(
        sys.modules[registry.family("toy-net").extra_files.__module__].weights, "extra_files", meanwhile
    )
    assert refused(FormatError, "the file changed while it was read", source, tmp_path).exit_code == 4


def test_other_files_that_are_links_out_of_the_folder_are_refused(tmp_path, source):
    once = convert(source, tmp_path / "once")
    secret = tmp_path / "secret"
    secret.write_text("x")
    (once / "voices" / "leak.txt").symlink_to(secret)
    with pytest.raises(FormatError, match="symbolic link"):
        convert(once, tmp_path / "again")


def test_converted_by_another_tool(tmp_path, family):
    folder = write_folder(
        tmp_path / "theirs",
        config={**toy_net.CONFIG, "model_type": "toy-net"},
        weights={"model.embed.w": mx.ones((2, 2))},
    )
    refused(FormatError, r"do not fit the model(.|\n)*missing: embed.weight", folder, tmp_path)


RUN = """
import signal, sys
sys.path.insert(0, sys.argv[1])
import toy_net
import toy_torch
from pathlib import Path
from pytorch_to_mlx.convert import convert
toy_net.install(Path(sys.argv[2]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("start", flush=True)
convert(sys.argv[3], sys.argv[4], force=True)
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_h84_h85_a_conversion_is_interrupted(tmp_path, source, name):
    """Whatever moment it is, the destination is absent or whole, and only kill -9 leaves something to sweep."""
    out = tmp_path / "dst" / "out"
    command = [sys.executable, "-c", RUN, str(ROOT / "tests"), str(tmp_path / "models"), str(source), str(out)]
    for delay in (0.0, 0.05, 0.1):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
            assert run.stdout.readline() == b"start\n"
            time.sleep(delay)
            run.send_signal(getattr(signal, name))
            code = run.wait(60)
        # -15: the interpreter was already ending, and had put the default handler back.
        assert code in {0, 143, -signal.SIGKILL, -signal.SIGINT} or (code == -signal.SIGTERM and out.exists())
        if name != "SIGKILL":
            assert not list((tmp_path / "dst").glob(".*"))
        if out.exists():
            ours(out)
    convert(source, out, force=True)
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_parameters_are_all_written(tmp_path, source):
    out = convert(source, tmp_path / "out")
    assert sorted(read_folder(out)[1]) == sorted(name for name, _ in tree_flatten(ours(out).parameters()))
    assert checkpoint_files.available_memory() > 0


def build(data):
    return registry.family("toy-net").model(registry.family("toy-net").config.from_dict(data))


def test_load_model_reads_originals_and_converted_folders_alike(tmp_path, source, net):
    weight_map = registry.family("toy-net").weights
    folders = [source, convert(source, tmp_path / "out"), convert(source, tmp_path / "half", dtype="float16")]
    for folder, bound in zip(folders, (1e-6, 1e-6, 1e-3), strict=True):
        module, config = load_model(folder, build, weight_map=weight_map)
        assert config["hidden_size"] == 32 and error_of(module, net) < bound


def test_on_a_cpu_small_weights_are_computed_in_float32(tmp_path, source):
    half = convert(source, tmp_path / "half", dtype="float16")
    packed = convert(half, tmp_path / "packed", quantize=True, q_group_size=32)
    module, config = load_model(packed, build)
    assert {str(w.dtype) for _, w in tree_flatten(module.parameters())} == {"mlx.core.float32"}
    assert "quantization" not in config
    small, config = load_model(packed, build, dequantize=False)
    assert config["quantization"]["bits"] == 8 and small.layers[0].weight.dtype == mx.uint32
    difference = small(mx.array(IDS)) - module(mx.array(IDS))
    assert mx.abs(difference).max().item() < 1e-2


@pytest.mark.parametrize(("option", "value"), [("q_bits", 7), ("q_bits", 0), ("q_group_size", 48)])
def test_impossible_quantization_is_found_before_the_checkpoint_is_looked_at(monkeypatch, tmp_path, option, value):
    """MLX packs 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128; 5 to 30 s of reading came before that was said."""
    module = importlib.import_module("pytorch_to_mlx.convert")
    monkeypatch.setattr(module, "find_model_or_module", lambda *_, **__: pytest.fail("the checkpoint was looked at"))
    with pytest.raises(UsageError, match=f"is {value}; use "):
        convert("packaged:kokoro-82m-int8", tmp_path / "out", **{option: value})
