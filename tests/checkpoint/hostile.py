"""How the fault tests make hostile files and what they expect of every refusal."""

import io
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.checkpoint import open_checkpoint

FLOATS = np.arange(4, dtype=np.float32).tobytes()


def assert_refused(act, error, *words, limit_s=5.0):
    """`act` must raise exactly `error`, at once, in one line that holds every word: the file, the key, the advice."""
    started = time.process_time()  # of the processor: the machine may be busy
    with pytest.raises(error) as caught:
        act()
    assert type(caught.value) is error
    assert time.process_time() - started < limit_s
    line = str(caught.value).splitlines()[0]
    assert all(str(word) in line for word in words), line
    assert len(line) < 600 and line.isprintable()
    return caught.value


def assert_file_refused(path, error, *words, **options):
    """Opening the file, or else reading everything in it, is refused, and the message names the file."""
    return assert_refused(lambda: read_all(path), error, path, *words, **options)


def read_all(path):
    with open_checkpoint(path) as ckpt:
        return {name: ckpt[name] for name in ckpt}


class Call:
    """Pickles as a call of `function` with `arguments`, as attackers write it."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def torch_zip(path: Path, pickled: bytes, storages=None, *, prefix="archive/", extra=None) -> Path:
    """A .pth as torch.save lays it out, with any pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{prefix}data.pkl", pickled)
        archive.writestr(f"{prefix}byteorder", b"little")
        for key, data in (storages or {}).items():
            archive.writestr(f"{prefix}data/{key}", data)
        archive.writestr(f"{prefix}version", b"3\n")
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path


class _TorchPickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, FakeStorage) else None


class FakeStorage:
    def __init__(self, kind, key="0", numel=4):
        self.pid = ("storage", kind, key, "cpu", numel)


def dumps(value, protocol=2) -> bytes:
    buffer = io.BytesIO()
    _TorchPickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def tensor_pickle(*, offset=0, size=(4,), stride=(1,), numel=4, key="0") -> bytes:
    """{"w": tensor} with any numbers in it."""
    import torch

    storage = FakeStorage(torch.FloatStorage, key, numel)
    return dumps({"w": Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})})


def good_zip(path: Path) -> Path:
    """A .pth with the tensor "w", which is 0 1 2 3."""
    return torch_zip(path, tensor_pickle(), {"0": FLOATS})
