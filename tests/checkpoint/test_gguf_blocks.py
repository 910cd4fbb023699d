"""The blocks of GGUF files: against transformers, which unpacks them too, and against the format."""

import numpy as np
import pytest
import torch
from checkpoint.test_gguf import gguf, tensor
from transformers.integrations.gguf.dequant import dequantize as theirs

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.checkpoint.gguf_blocks import BLOCKS, dequantize
from pytorch_to_mlx.errors import PortError

SCALES = {12: (0, 2), 13: (0, 2), 14: (208,), 3: (0, 2), 7: (0, 2)}  # where the float16 of a block stand; else at 0


def random_blocks(kind: int, n: int) -> np.ndarray:
    """Blocks of random bytes, whose scales are random finite numbers."""
    blocks = np.random.default_rng(kind).integers(0, 256, (n, BLOCKS[kind].nbytes), np.uint8)
    for at in SCALES.get(kind, (0,)):
        scales = np.random.default_rng(at).standard_normal(n).astype("<f2")
        blocks[:, at : at + 2] = scales[:, None].view(np.uint8)
    return blocks


@pytest.mark.parametrize("kind", BLOCKS.keys() - {6, 7}, ids=lambda kind: BLOCKS[kind].name)
def test_values_are_transformers(kind):
    """Bit for bit, whatever the bytes: transformers unpacks the same blocks by its own code, in PyTorch."""
    blocks = random_blocks(kind, 300)
    expected = theirs(torch.from_numpy(blocks.reshape(-1)), kind).numpy()
    np.testing.assert_array_equal(dequantize(blocks, BLOCKS[kind]).reshape(-1), expected)


@pytest.mark.parametrize(("kind", "at"), [(6, 2), (7, 4)])
def test_five_bits_by_the_format(kind, at):
    """Value n < 16 is the low half of byte n with bit n on top, value n + 16 the high half with bit n + 16."""
    (block,) = random_blocks(kind, 1)
    scale, *offset = (number.astype(np.float32) for number in block[:at].view("<f2"))
    values = np.zeros(32, np.float32)
    upper = int(block[at : at + 4].view("<u4")[0])
    for n in range(16):
        byte = int(block[at + 4 + n])
        for place, four in ((n, byte & 15), (n + 16, byte >> 4)):
            five = np.float32(four | (upper >> place & 1) << 4)
            values[place] = scale * five + offset[0] if offset else scale * (five - 16)
    np.testing.assert_array_equal(dequantize(block[None], BLOCKS[kind])[0], values)


def test_q6_k_by_the_format():
    """One value at a time, as ggml-quants.c loops: each of 16 scales is for 16 values, six bits less 32."""
    (block,) = random_blocks(14, 1)
    scale = block[208:210].view("<f2")[0].astype(np.float32)
    values = np.zeros(256, np.float32)
    for half in range(2):
        for n in range(32):
            low, upper = block[64 * half + n], block[64 * half + n + 32]
            pairs = block[128 + 32 * half + n]
            for place, four in enumerate((low & 15, upper & 15, low >> 4, upper >> 4)):
                six = int(four) | (int(pairs) >> 2 * place & 3) << 4
                factor = block[192 + 8 * half + 2 * place + n // 16].view(np.int8)
                values[128 * half + 32 * place + n] = scale * np.float32(factor) * np.float32(six - 32)
    np.testing.assert_array_equal(dequantize(block[None], BLOCKS[14])[0], values)


def test_a_file_of_every_kind(tmp_path):
    """Rows of super-blocks, read through the header; what the file holds is named beside the dtype that is read."""
    tensors, data, expected = [], b"", {}
    for kind, block in BLOCKS.items():
        blocks = random_blocks(kind, 512 // block.size)
        tensors.append(tensor(block.name, (2, 256), kind, len(data)))
        expected[block.name] = dequantize(blocks, block).reshape(2, 256)
        data += blocks.tobytes()
        data += bytes(-len(data) % 32)
    with open_checkpoint(gguf(tmp_path, [], tensors, data)) as checkpoint:
        assert {name: info.stored_dtype for name, info in checkpoint.infos().items()} == {
            name: name for name in expected
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(np.array(checkpoint[name]), values)


def test_200_mutations_of_a_file(tmp_path):
    """A changed byte gives one clear error, or a file that reads to the same shapes: nothing else, and no crash."""
    blocks = random_blocks(12, 2)
    path = gguf(tmp_path, [], [tensor("w", (2, 256), 12, 0)], blocks.tobytes())
    intact, random = path.read_bytes(), np.random.default_rng(0)
    n_header = len(intact) - blocks.nbytes
    outcomes = set()
    for number in range(200):
        data = bytearray(intact)
        for at in random.integers(0, n_header if number % 2 else len(data), 1 + number % 3):
            data[at] = random.integers(0, 256)
        path.write_bytes(data if number % 10 else data[: random.integers(0, len(data))])
        try:
            with open_checkpoint(path) as checkpoint:
                assert all(checkpoint[name].shape == info.shape for name, info in checkpoint.infos().items())
            outcomes.add("read")
        except PortError as error:
            assert error.exit_code in (4, 6) and str(error).isprintable(), error
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_scale_that_is_not_finite(tmp_path):
    """inf · 0 is NaN without a warning: what loads the weights refuses them."""
    blocks = random_blocks(8, 1)
    blocks[0, :2] = np.array([np.inf], "<f2").view(np.uint8)
    blocks[0, 2:] = 0
    assert np.isnan(dequantize(blocks, BLOCKS[8])).all()
