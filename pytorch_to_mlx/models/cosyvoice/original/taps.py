"""The original's values, stage by stage."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from ..versions import COSYVOICE2, Version
from ..voice.campplus import speaker_features
from .imports import original

Taps = dict[str, np.ndarray]


def cast(model: Any, dtype: str) -> None:
    """Change the precision in place, also of constants that are not buffers; float64 and back loses nothing."""
    import torch

    torch_dtype = getattr(torch, dtype)
    model.to(torch_dtype)
    for holder, name in ((model, "stft_window"), (getattr(model, "decoder", None), "rand_noise")):
        if isinstance(getattr(holder, name, None), torch.Tensor):
            setattr(holder, name, getattr(holder, name).to(torch_dtype))


def voice_taps(folder: Path, audio: np.ndarray, version: Version = COSYVOICE2) -> Taps:
    """Run the release's two ONNX files on a recording, with openai-whisper's features and our filter bank.

    Shapes: audio [L] at 16 kHz.
    """
    import torch
    import whisper
    from onnxruntime import InferenceSession

    def session(part: str) -> Any:
        return InferenceSession(str(folder / version.parts[part]), providers=["CPUExecutionProvider"])

    log_mel = whisper.log_mel_spectrogram(torch.from_numpy(audio), n_mels=128)[None].numpy()
    tokenizer, campplus = session("speech_tokenizer"), session("campplus")
    names = [i.name for i in tokenizer.get_inputs()]
    length = np.array([log_mel.shape[2]], np.int32)
    (ids,) = tokenizer.run(None, dict(zip(names, (log_mel, length), strict=True)))
    fbank = np.array(speaker_features(audio))  # beside torchaudio's in tests/golden/cosyvoice_audio.npz
    (speaker,) = campplus.run(None, {campplus.get_inputs()[0].name: fbank})
    return {"log_mel": log_mel.swapaxes(1, 2), "speaker": speaker, "speech_tokens": ids.reshape(1, -1)}


def audio_taps(flow: Any, hift: Any, inputs: Mapping[str, Any], starts: Taps | None) -> Taps:
    """Run flow and vocoder on `audio_inputs`. starts: taps of another precision, from which later stages start."""
    import torch

    taps: Taps = {}
    dtype = flow.spk_embed_affine_layer.weight.dtype
    encoder, repeats = (flow.encoder_proj, 1) if hasattr(flow, "encoder_proj") else (flow.pre_lookahead_layer, 2)

    def before_step(module: Any, args: Any) -> None:
        taps[f"step {sum(name.startswith('step') for name in taps)}"] = _features_last(args[0][:1])

    hooks = [
        encoder.register_forward_hook(
            lambda _, args, y: taps.update(encoder=y.repeat_interleave(repeats, dim=1).numpy())
        ),
        flow.decoder.estimator.register_forward_pre_hook(before_step),
        flow.decoder.register_forward_hook(lambda _, args, y: taps.update({"step 10": _features_last(y[0])})),
    ]
    tokens, prompt = (torch.from_numpy(inputs[name]) for name in ("tokens", "prompt_tokens"))
    prompt_mel, speaker = (torch.from_numpy(inputs[name]).to(dtype) for name in ("prompt_mel", "speaker"))
    lengths = [torch.tensor([x.shape[1]]) for x in (tokens, prompt, prompt_mel)]
    try:
        with torch.inference_mode(), masks_in_float64():
            mel, _ = flow.inference(
                tokens, lengths[0], prompt, lengths[1], prompt_mel, lengths[2], speaker, inputs["streaming"], True
            )
    finally:
        for hook in hooks:
            hook.remove()
    del taps["step 0"]  # the noise
    taps["mel"] = _features_last(mel)
    starts = taps if starts is None else starts
    with torch.inference_mode():
        x = torch.from_numpy(starts["mel"]).transpose(1, 2).to(dtype)
        f0 = taps["f0"] = torch_f0(hift, x).numpy()
        source = torch_source(hift, torch.from_numpy(starts.get("f0", f0)).to(dtype), inputs["noise"])
        taps["source"] = source.numpy()
        taps["audio"] = hift.decode(x=x, s=torch.from_numpy(starts["source"]).to(dtype)[:, None]).numpy()
    return taps


def torch_f0(hift: Any, mel: Any) -> Any:
    """Return the pitch of a mel, which version 3 computes in float64. Shapes: mel [1, n_mels, T] -> [1, T]."""
    import torch

    if is_causal(hift):
        return hift.f0_predictor.to(torch.float64)(mel.to(torch.float64)).to(mel)
    return hift.f0_predictor(mel)


def is_causal(hift: Any) -> bool:
    """Return whether this is version 3's vocoder, whose noise is fixed."""
    return hasattr(hift, "conv_pre_look_right")


def torch_source(hift: Any, f0: Any, noise: np.ndarray) -> Any:
    """Return the harmonic source of a pitch. Shapes: f0 [1, T], noise [1, L, harmonics + 1] -> [1, L]."""
    import torch

    def injected(like: Any) -> Any:
        return torch.from_numpy(noise).to(like) if like.shape[-1] == noise.shape[-1] else torch.zeros_like(like)

    if is_causal(hift):
        hift.m_source.l_sin_gen.sine_waves = torch.from_numpy(noise).to(f0)
    with patch.object(torch, "randn_like", injected):
        source, _, _ = hift.m_source(hift.f0_upsamp(f0[:, None]).transpose(1, 2))
    return source[..., 0]


@contextmanager
def masks_in_float64() -> Iterator[None]:
    """Let the original turn masks into biases in float64, too."""
    (decoder,) = original("cosyvoice.flow.decoder")
    with patch.object(decoder, "mask_to_bias", lambda mask, dtype: (1 - mask.to(dtype)) * -1e10):
        yield


def _features_last(x: Any) -> np.ndarray:
    return x.transpose(1, 2).clone().numpy()
