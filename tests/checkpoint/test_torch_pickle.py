"""PyTorch files that hold no plain state dict, or tensors outside their storages (faults 7, 8, 10, 14 and 16)."""

import tarfile
import zipfile

import pytest
import torch
from checkpoint.hostile import FLOATS, assert_file_refused, dumps, good_zip, read_all, tensor_pickle, torch_zip

from pytorch_to_mlx.errors import FormatError


def test_good_file_is_read(tmp_path):
    assert read_all(good_zip(tmp_path / "x.pth"))["w"].tolist() == [0, 1, 2, 3]


def test_storage_larger_than_its_record(tmp_path):
    """Fault 7."""
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(numel=1000, size=(1000,)), {"0": FLOATS})
    assert_file_refused(path, FormatError, "'w'", "claims 4000 bytes, the file has 16")
    path = torch_zip(tmp_path / "y.pth", tensor_pickle(key="../data.pkl"), {"0": FLOATS})
    assert_file_refused(path, FormatError, "storage '../data.pkl' is missing")


def test_tar_archive(tmp_path):
    """Fault 8."""
    (tmp_path / "storages").write_bytes(dumps(1))
    with tarfile.open(tmp_path / "x.pt", "w") as archive:
        archive.add(tmp_path / "storages", "storages")
    assert_file_refused(tmp_path / "x.pt", FormatError, "tar archive", "save it again with a current PyTorch")


def test_torchscript(tmp_path):
    """Fault 10."""
    module = torch.nn.Linear(2, 2)
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(module)
        torch.jit.save(scripted, tmp_path / "x.pt")
    assert_file_refused(tmp_path / "x.pt", FormatError, "TorchScript", "state_dict")


def test_exported_program(tmp_path):
    """Fault 10."""
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/archive_format", "pt2")
        archive.writestr("x/models/model.json", "{}")
        archive.writestr("x/data/weights/weight_0", FLOATS)
    assert_file_refused(path, FormatError, ".pt2", "state_dict")


def test_compressed_and_nested_archives(tmp_path):
    """Fault 14."""
    inner = good_zip(tmp_path / "inner.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("inner.pth", inner)
    assert_file_refused(tmp_path / "x.pth", FormatError, "no data.pkl")
    with zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", tensor_pickle())
        archive.writestr("a/data/0", FLOATS)
    assert_file_refused(tmp_path / "y.pth", FormatError, "storage '0' is compressed")


@pytest.mark.parametrize(
    "numbers",
    [
        dict(size=(5,)),
        dict(offset=1),
        dict(offset=-1),
        dict(size=(2, 2), stride=(4, 1)),
        dict(size=(2,), stride=(-1,)),
        dict(size=(-1,)),
        dict(size=(-2, -2)),
        dict(size=(10**6, 10**6), stride=(0, 0)),
        dict(size=(2**40,), stride=(0,)),
        dict(size=(2**62, 4)),
        dict(size=(4,), stride=()),
        dict(size=(1,) * 40, stride=(1,) * 40),
        dict(size=(True,)),
        dict(size=(2.0,)),
        dict(offset=2**70),
        dict(numel=-4),
        dict(size=(2,), stride=(2**63,)),
    ],
    ids=str,
)
def test_views_outside_their_storage(tmp_path, numbers):
    """Fault 16."""
    arguments = {"stride": (1,) * len(numbers.get("size", (4,))), **numbers}
    assert_file_refused(torch_zip(tmp_path / "x.pth", tensor_pickle(**arguments), {"0": FLOATS}), FormatError)
