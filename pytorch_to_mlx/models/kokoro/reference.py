"""Compare with the original: KModel of the package kokoro 0.9.4, on the same weights and the same noise.

torch is imported inside the functions of its side: our side is measured without it.
"""

import copy
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ...checkpoint import open_checkpoint, read_json
from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...errors import MissingExtraError
from ...taps import record_taps
from ...weights import invert, load_model
from .config import SAMPLE_RATE, Config
from .model import Model, Prosody
from .weights import WEIGHTS, open_release

if TYPE_CHECKING:
    import torch
    from kokoro.model import KModel

DATA = Path(__file__).parent / "data"
WORKLOAD = "twenty-words"
Taps = dict[str, np.ndarray]


class Reference(Contract):
    """Both sides of Kokoro. The cases are the sentences of data/sentences.json in the voices of this package."""

    def __init__(self, model: Model, original: "KModel", data: Path = DATA) -> None:
        self.model = model
        self.originals = {"float32": original}
        self.data = data
        self.last_taps: dict[tuple[str, str], Taps] = {}  # PyTorch's for the last case, by its name and dtype

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        model = load_ours(mlx_path or source_path)
        reference = cls(model, load_original(source_path, model if mlx_path is None else None))
        reference.weights_from = describe_weights(source_path)
        return reference

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        if side == "ours":
            model = load_ours(mlx_path or source_path)
            return _our_workload(model, _case(model.config, WORKLOAD))
        config = read_config(source_path)
        return _torch_workload(load_original(source_path), _case(config, WORKLOAD))

    def cases(self) -> list[Case]:
        return list(cases(self.model.config, self.data))

    def mlx(self, case: Case) -> Taps:
        """Return our taps stage by stage, each on the inputs of float32 PyTorch; and `speech`, ours from end to end."""
        style, seed = mx.array(case.inputs["style"]), case.inputs["seed"]
        theirs = self._torch(case, "float32")
        with record_taps() as taps:
            prosody = self.model.prosody(case.inputs["ids"], style, case.inputs["speed"])
        noise = mx.array(draw_noise(self.model.noise_shape(prosody), seed))
        speech = self.model.decode(prosody, style, self.model.excite(prosody, noise))
        text_features = np.repeat(theirs["text_encoder"], theirs["durations"], axis=1)
        their_prosody = Prosody(
            *(mx.array(value) for value in (theirs["durations"], text_features, theirs["f0"], theirs["n"]))
        )
        with record_taps() as decoder_taps:
            self.model.excite(their_prosody, mx.array(draw_noise(self.model.noise_shape(their_prosody), seed)))
            self.model.decode(their_prosody, style, mx.array(theirs["excitation"]))
        ours = {name: _numpy(value) for name, value in {**taps, **decoder_taps, "speech": speech}.items()}
        return _with_complex_excitation(ours)

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        return _with_complex_excitation(self._torch(case, dtype))

    def _torch(self, case: Case, dtype: str) -> Taps:
        """Return PyTorch's taps as they are, computed once for each case and dtype."""
        if dtype not in self.originals:
            self.originals[dtype] = _to_float64(self.originals["float32"])
        if (case.name, dtype) not in self.last_taps:
            self.last_taps = {key: taps for key, taps in self.last_taps.items() if key[0] == case.name}
            self.last_taps[case.name, dtype] = torch_taps(self.originals[dtype], case.inputs)
        return self.last_taps[case.name, dtype]

    def workloads(self) -> dict[str, Workload]:
        case = _case(self.model.config, WORKLOAD, self.data)
        prosody = self.model.prosody(case.inputs["ids"], mx.array(case.inputs["style"]), case.inputs["speed"])
        audio_s = prosody.text_features.shape[1] * self.model.config.samples_per_frame / SAMPLE_RATE
        sides = _our_workload(self.model, case), _torch_workload(self.originals["float32"], case)
        return {"synthesize": Workload(*sides, audio_s)}


def cases(config: Config, data: Path = DATA) -> Iterator[Case]:
    """Yield a case for each sentence: ids, style, speed, and the seed of the noise."""
    voices: dict[str, np.ndarray] = {}
    for seed, sentence in enumerate(read_json(data / "sentences.json")["sentences"]):
        voice = sentence["voice"]
        if voice not in voices:
            with open_checkpoint(DATA / f"{voice}.safetensors") as checkpoint:
                voices[voice] = np.array(checkpoint["voice"])
        ids = [config.vocab[p] for p in sentence["phonemes"] if p in config.vocab]
        style = voices[voice][len(sentence["phonemes"]) - 1]  # [1, 256]
        inputs = {"ids": [0, *ids, 0], "style": style, "speed": sentence["speed"], "seed": seed}
        yield Case(sentence["name"], inputs)


def _case(config: Config, name: str, data: Path = DATA) -> Case:
    return next(case for case in cases(config, data) if case.name == name)


def draw_noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw the noise of both sides. Shapes: -> `shape` float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def read_config(source_path: Path) -> Config:
    """Read the sizes of a release."""
    with open_release(source_path) as checkpoint:
        return Config.from_dict(checkpoint.config or {})


def load_ours(path: Path) -> Model:
    """Load our model from a converted folder, or from the original's weights."""
    return load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
    )[0]


def load_original(source_path: Path, model: Model | None = None) -> "KModel":
    """Load the original on the weights of any source: KModel reads a .pth itself, all else comes from our `model`."""
    with open_release(source_path) as checkpoint:
        config = Config.from_dict(checkpoint.config or {})
        if checkpoint.kind == "torch":
            path = Path(checkpoint.files[0].path)
            return build(config, path)
    original = build(config)
    put_weights(original, dict(tree_flatten((model or load_ours(source_path)).parameters())))
    return original


def describe_weights(source_path: Path) -> str:
    """Say where `load_original` takes the original's weights from."""
    with open_release(source_path) as checkpoint:
        name = Path(checkpoint.files[0].path).name
        return f"{name}, read by KModel" if checkpoint.kind == "torch" else f"{name}, through our weight map and back"


def build(config: Config, weights: Path | None = None) -> "KModel":
    """Build KModel in these sizes, from a file of the release or with random weights.

    Raises: MissingExtraError without torch or the package kokoro.
    """
    try:
        import torch
        from kokoro import istftnet
        from kokoro.model import KModel
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
    sizes = {**asdict(config), "n_mels": 80, "dropout": 0.2}
    no_weights = io.BytesIO()
    torch.save({}, no_weights)
    no_weights.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's weight_norm is deprecated, dropout is of no use in one layer
        file: Any = weights or no_weights  # KModel's own type is a path as str; torch.load takes both
        model = KModel("hexgrad/Kokoro-82M", config=sizes, model=file)
        if (config.decoder_dim, config.decoder_residual_dim) != (1024, 64):  # constants there, fields here
            decoder, width, residual = model.decoder, config.decoder_dim, config.decoder_residual_dim
            inner, style = width + residual + 2, config.style_dim
            decoder.encode = istftnet.AdainResBlk1d(config.hidden_dim + 2, width, style)
            blocks = [istftnet.AdainResBlk1d(inner, width, style) for _ in range(3)]
            upsample: Any = True  # KModel's own type is str
            last = istftnet.AdainResBlk1d(inner, config.istftnet.upsample_initial_channel, style, upsample=upsample)
            decoder.decode = torch.nn.ModuleList([*blocks, last])
            conv = torch.nn.Conv1d(config.hidden_dim, residual, kernel_size=1)
            decoder.asr_res = torch.nn.Sequential(torch.nn.utils.weight_norm(conv))
    return model.eval()


def put_weights(model: "KModel", weights: Mapping[str, mx.array]) -> None:
    """Load our weights into KModel, without weight norm: a channel of zeros, as the int8 export has, has no norm."""
    import torch

    for module in model.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    state = model.state_dict()
    for name, value in invert(WEIGHTS, {n: w.astype(mx.float32) for n, w in weights.items()}).items():
        if not name.endswith(".weight_g"):
            name = name.removesuffix("_v") if name.endswith(".weight_v") else name
            state[name] = torch.from_numpy(np.array(value))
    model.load_state_dict(state)


def torch_taps(model: "KModel", inputs: Mapping[str, Any]) -> Taps:
    """Run KModel in its own dtype with the noise of the case, and record what our `tap`s record."""
    import torch

    taps: Taps = {}
    outputs = {
        "bert": (model.bert, lambda out: out),
        "bert_encoder": (model.bert_encoder, lambda out: out),
        "duration_logits": (model.predictor.duration_proj, lambda out: out),
        "f0": (model.predictor.F0_proj, lambda out: out[:, 0]),
        "n": (model.predictor.N_proj, lambda out: out[:, 0]),
        "text_encoder": (model.text_encoder, lambda out: out.transpose(1, 2)),
        "source": (model.decoder.generator.m_source, lambda out: out[0][..., 0]),
    }

    def record(name: str, pick: Callable) -> Callable:
        def hook(module: Any, args: Any, out: Any) -> None:
            taps[name] = pick(out).numpy().copy()

        return hook

    def record_excitation(module: Any, args: Any) -> None:
        taps["excitation"] = args[0].transpose(1, 2).numpy().copy()

    dtype = next(model.parameters()).dtype
    hooks = [module.register_forward_hook(record(name, pick)) for name, (module, pick) in outputs.items()]
    hooks.append(model.decoder.generator.noise_convs[0].register_forward_pre_hook(record_excitation))
    try:
        with torch.no_grad(), inject_noise(inputs["seed"]), use_default_dtype(dtype):
            ids, style = torch.tensor([inputs["ids"]]), torch.from_numpy(inputs["style"]).to(dtype)
            audio, durations = _forward(model, ids, style, inputs["speed"])
    finally:
        for hook in hooks:
            hook.remove()
    return {**taps, "durations": durations.reshape(-1).numpy(), "audio": audio.numpy(), "speech": audio.numpy()}


def _forward(model: "KModel", ids: "torch.Tensor", style: "torch.Tensor", speed: float) -> Any:
    """Run KModel; return audio and durations. Shapes: ids [1, L], style [1, 256]."""
    forward: Any = (
        model.forward_with_tokens
    )  # typed for LongTensor and FloatTensor, which torch.Tensor is not to pyright
    return forward(ids, style, speed)


def _with_complex_excitation(taps: Taps) -> Taps:
    """Return the taps with the excitation as complex numbers: a phase near pi may be near -pi on the other side."""
    magnitude, phase = np.split(taps["excitation"], 2, axis=-1)
    return {**taps, "excitation": magnitude * np.exp(1j * phase)}


@contextmanager
def inject_noise(seed: int) -> Iterator[None]:
    """Let SineGen's torch.randn_like return the case's noise; the source's other noise does not reach the output."""
    import torch

    def noise_like(like: "torch.Tensor") -> "torch.Tensor":
        if like.shape[-1] == 1:
            return torch.zeros_like(like)
        return torch.from_numpy(draw_noise(tuple(like.shape), seed)).to(like.dtype)

    with patch.object(torch, "randn_like", noise_like):
        yield


@contextmanager
def use_default_dtype(dtype: "torch.dtype") -> Iterator[None]:
    """Set torch's default dtype inside the block: KModel creates tensors in it."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _to_float64(model: "KModel") -> "KModel":
    """Return a copy with weights and constants in float64."""
    wide = copy.deepcopy(model).double()
    stft: Any = wide.decoder.generator.stft
    stft.window = stft.window.double()
    return wide


def _our_workload(model: Model, case: Case) -> Callable[[], Any]:
    style, key = mx.array(case.inputs["style"]), mx.random.key(0)
    return lambda: model(case.inputs["ids"], style, case.inputs["speed"], key=key).audio


def _torch_workload(model: "KModel", case: Case) -> Callable[[], Any]:
    import torch

    ids, style = torch.tensor([case.inputs["ids"]]), torch.from_numpy(case.inputs["style"])
    return lambda: _forward(model, ids, style, case.inputs["speed"])[0].numpy()


def _numpy(value: Any) -> np.ndarray:
    value = value.astype(mx.float32) if value.dtype == mx.bfloat16 else value
    return np.array(value)
