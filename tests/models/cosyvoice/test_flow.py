"""The flow against the original's classes: a tiny twin with seeded random weights through the real rules."""

import warnings
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice import release
from parity import assert_close

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.models.cosyvoice.flow.flow import Flow, FlowConfig
from pytorch_to_mlx.models.cosyvoice.flow.stream import FlowStream, bytes_per_frame
from pytorch_to_mlx.models.cosyvoice.flow.weights import FLOW
from pytorch_to_mlx.models.cosyvoice.original.audio import build_flow
from pytorch_to_mlx.models.cosyvoice.original.imports import original
from pytorch_to_mlx.models.cosyvoice.original.streaming import OriginalStreams
from pytorch_to_mlx.models.cosyvoice.original.taps import masks_in_float64
from pytorch_to_mlx.models.cosyvoice.speakers import Speaker
from pytorch_to_mlx.models.cosyvoice.streaming import Clock
from pytorch_to_mlx.taps import record_taps
from pytorch_to_mlx.weights import WeightMap, apply, load_into

TINY = FlowConfig.tiny()


def state():
    return release.random_state(release.flow_shapes(release.TINY), np.random.default_rng(0))


@pytest.fixture(scope="module")
def ours():
    tensors = {name: mx.array(array) for name, array in state().items()}
    return load_into(Flow(TINY), apply(WeightMap(*FLOW), tensors).weights)


@pytest.fixture(scope="module")
def twins():
    made = []
    for dtype in (torch.float32, torch.float64):
        twin = build_flow(TINY)
        twin.load_state_dict({name: torch.from_numpy(array) for name, array in state().items()})
        made.append(twin.to(dtype))
        made[-1].decoder.rand_noise = twin.decoder.rand_noise.to(dtype)
    return made


def inputs_of(tokens, prompt, seed=0, frames=None):
    rng = np.random.default_rng(seed)
    frames = 2 * prompt if frames is None else frames
    return (
        rng.integers(0, 6561, (1, tokens)),
        rng.integers(0, 6561, (1, prompt)),
        rng.standard_normal((1, frames, 80)).astype(np.float32),
        rng.standard_normal((1, 192)).astype(np.float32),
    )


def noise_of(frames, seed=7):
    return mx.array(np.random.default_rng(seed).standard_normal((1, frames, 80)).astype(np.float32))


def torch_taps(twin, inputs, streaming, finalize):
    """The encoder's output, x before each step of the solver, and the mel; features last."""
    taps, dtype = {}, twin.encoder_proj.weight.dtype
    tokens, prompt, mel, speaker = map(torch.from_numpy, inputs)

    def before(_, args):
        taps[f"step {sum(name.startswith('step') for name in taps)}"] = args[0][:1].transpose(1, 2).clone().numpy()

    hooks = [
        twin.encoder_proj.register_forward_hook(lambda _, args, y: taps.update(encoder=y.numpy())),
        twin.decoder.estimator.register_forward_pre_hook(before),
    ]
    with masks_in_float64():
        y, _ = twin.inference(
            tokens, torch.tensor([tokens.shape[1]]), prompt, torch.tensor([prompt.shape[1]]), mel.to(dtype),
            torch.tensor([mel.shape[1]]), speaker.to(dtype), streaming, finalize,
        )  # fmt: skip
    for hook in hooks:
        hook.remove()
    return taps | {"mel": y.transpose(1, 2).numpy()}


@pytest.mark.parametrize(
    ("tokens", "prompt", "frames", "streaming", "finalize"),
    [
        (37, 30, None, False, True),
        (37, 30, None, True, True),
        (40, 10, None, True, False),
        (20, 0, None, False, False),
        (1, 1, None, False, True),
        (30, 21, 39, False, True),
    ],
    ids=["whole", "mask of a stream", "more will come", "no prompt", "shortest", "prompts of different lengths"],
)
def test_twin(ours, twins, tokens, prompt, frames, streaming, finalize):
    inputs = inputs_of(tokens, prompt, frames=frames)
    theirs, wide = (torch_taps(twin, inputs, streaming, finalize) for twin in twins)
    noise = mx.array(twins[0].decoder.rand_noise.transpose(1, 2).numpy())
    with record_taps() as got:
        ours(*map(mx.array, inputs), noise=noise, streaming=streaming, finalize=finalize)
    for name in ("encoder", *(f"step {i}" for i in range(1, 10)), "mel"):
        assert_close(got[name], theirs[name], wide[name], name=name)
    assert got["mel"].shape[1] == 2 * (tokens + prompt - (0 if finalize else 3)) - inputs[2].shape[1]
    assert 0.3 < got["mel"].std() < 3


@pytest.mark.parametrize("seed", range(50))
def test_stream_is_the_whole(ours, seed):
    """For any prompt and any pieces; a copy of a stream goes on by itself."""
    rng = np.random.default_rng(seed)
    count, prompt = int(rng.integers(1, 90)), int(rng.integers(0, 70))
    tokens, *rest = map(mx.array, inputs_of(count, prompt, seed))
    noise, steps = noise_of(2 * (count + prompt)), int(rng.integers(1, 4))
    whole = ours(tokens, *rest, noise=noise, streaming=True, steps=steps)
    first = FlowStream(ours, *rest, noise=noise, steps=steps)
    for stream in (first.copy(), first):
        pieces, fed, last = [], 0, int(rng.integers(0, count))
        while fed < count - last:
            size = int(rng.integers(1, 40))
            pieces.append(stream.feed(tokens[:, fed : min(count - last, fed + size)]))
            fed = min(count - last, fed + size)
        given = sum(piece.shape[1] for piece in pieces)
        assert given == max(0, (fed + prompt - 3) // 25 * 50 - 2 * prompt), "each chunk as soon as it is complete"
        pieces.append(stream.finish(tokens[:, fed:]) if last else stream.finish())
        got = mx.concatenate(pieces, axis=1)
        assert got.shape == whole.shape
        np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-5)


def test_stream_by_midpoint(ours):
    tokens, *rest = map(mx.array, inputs_of(60, 20))
    noise = noise_of(160)
    stream = FlowStream(ours, *rest, noise=noise, steps=3, solver="midpoint")
    got = mx.concatenate([stream.feed(tokens), stream.finish()], axis=1)
    whole = ours(tokens, *rest, noise=noise, steps=3, solver="midpoint", streaming=True)
    np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-5)


def test_solvers_agree(ours):
    """With many steps, all three find the same mel; random weights make it swing with t as fast as sin(1000 t)."""
    inputs = tuple(map(mx.array, inputs_of(12, 5)))
    noise = noise_of(40)
    exact = np.array(ours(*inputs, noise=noise, solver="rk45"))
    for solver in ("euler", "midpoint"):
        got = np.array(ours(*inputs, noise=noise, solver=solver, steps=150))
        assert np.abs(got - exact).max() < 0.1


def test_stream_of_nothing(ours):
    _, prompt, mel, speaker = map(mx.array, inputs_of(1, 0))
    assert FlowStream(ours, prompt, mel, speaker, noise=noise_of(10)).finish().shape == (1, 0, 80)


def test_memory_of_a_stream(ours):
    """What is announced is what the layers keep, and more than allowed is refused before it is computed."""
    assert bytes_per_frame(FlowConfig(), 10) == pytest.approx(1.15e6, rel=0.01)
    tokens, *rest = map(mx.array, inputs_of(60, 20))
    allowed = 2 * 75 * bytes_per_frame(TINY, 3)
    stream = FlowStream(ours, *rest, noise=noise_of(160), steps=3, max_bytes=allowed)
    stream.feed(tokens[:, :33])
    kept = [piece for step in stream._steps for m in step.memory if isinstance(m, tuple) for piece in m]
    assert sum(piece.nbytes for piece in kept) == 100 * bytes_per_frame(TINY, 3)
    with pytest.raises(UsageError, match=r"80 tokens in one stream need .* GB of memory; split the text"):
        stream.finish(tokens[:, 33:])


def test_wrong_use(ours):
    tokens, *rest = map(mx.array, inputs_of(10, 5))
    for options, message in (
        ({"solver": "heun"}, "unknown solver 'heun'; use euler, midpoint, rk45"),
        ({"steps": 0}, "0 steps"),
        ({"noise": noise_of(20)}, "30 frames of mel are more than the 20"),
    ):
        with pytest.raises(UsageError, match=message):
            ours(tokens, *rest, **{"noise": noise_of(30), **options})
    with pytest.raises(UsageError, match="speech token 6561 is not under 6561"):
        ours(mx.full((1, 3), 6561), *rest, noise=noise_of(30))
    with pytest.raises(UsageError, match="rk45 cannot stream; use euler or midpoint"):
        FlowStream(ours, *rest, noise=noise_of(30), solver="rk45")


def test_as_the_original_streams(ours, twins):
    """Against the original's own loop: the same mels in the same pieces. That of the package does not lengthen them."""
    (cli,) = original("cosyvoice.cli.model")
    heard = []

    def vocoder(speech_feat, cache_source):
        heard.append(speech_feat.transpose(1, 2).numpy())
        silence = torch.zeros(1, 480 * speech_feat.shape[2])
        return silence, silence[:, None]

    theirs = cli.CosyVoice2Model(None, twins[0], SimpleNamespace(inference=vocoder))
    noise = mx.array(twins[0].decoder.rand_noise.transpose(1, 2).numpy())
    model = SimpleNamespace(flow=ours, config=SimpleNamespace(flow=TINY))
    growth = 2 if hasattr(theirs, "token_max_hop_len") else 1
    streams = OriginalStreams(model, growth)
    tokens, prompt, mel, embedding = inputs_of(300, 82)
    speaker = Speaker(mx.array(embedding), mx.array(mel), tuple(prompt[0].tolist()))
    for _ in range(2):
        heard.clear()
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about how it is called
            prompts = {
                "flow_prompt_speech_token": torch.from_numpy(prompt),
                "prompt_speech_feat": torch.from_numpy(mel),
            }
            voice = {"flow_embedding": torch.from_numpy(embedding)}
            list(theirs.tts(source_speech_token=torch.from_numpy(tokens), stream=True, **prompts, **voice))
        got = list(streams.mels(iter(tokens[0].tolist()), speaker, Clock(), noise=noise, steps=10, solver="euler"))
        assert [last for _, last in got] == [False] * (len(heard) - 1) + [True]
        for number, (piece, expected) in enumerate(zip(got, heard, strict=True)):
            overlap = 8 if number else 0  # frames of the piece before, for the vocoder
            assert_close(piece[0], expected[:, overlap:], name=f"piece {number}")


def test_the_original_s_pieces_become_longer(ours):
    """As counted when its commit ace7c47 was run with this prompt, three times."""
    streams = OriginalStreams(SimpleNamespace(flow=ours, config=SimpleNamespace(flow=TINY)))
    tokens, prompt, mel, embedding = inputs_of(300, 82)
    speaker = Speaker(mx.array(embedding), mx.array(mel), tuple(prompt[0].tolist()))
    given = {"noise": noise_of(764), "steps": 1, "solver": "euler"}
    lengths = [
        [piece.shape[1] for piece, _ in streams.mels(iter(tokens[0].tolist()), speaker, Clock(), **given)]
        for _ in range(3)
    ]
    assert lengths == [[86, 100, 200, 200, 14], [236, 200, 164], [236, 200, 164]]
