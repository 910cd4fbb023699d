"""Make f5_networks.npz: tiny networks of f5-tts 1.1.22 and vocos 0.1.0 with weights by a formula, and what they give.

Needs those two with their dependencies, torch 2.13.0 and torchaudio; run: python tests/golden/f5_networks.py
"""

import sys
import zlib
from pathlib import Path

import numpy as np

N_MELS, FRAMES, N_REFERENCE, SEED = 100, 31, 11, 3
IDS = [3, 0, 7, 29, 1, 12, 5]
DIT = dict(dim=32, depth=2, heads=2, ff_mult=2, text_dim=16, conv_layers=2)
UNETT = dict(dim=32, depth=4, heads=2, ff_mult=2, text_mask_padding=False, pe_attn_head=1)
V0, V1 = dict(text_mask_padding=False, pe_attn_head=1), dict(text_mask_padding=True)
CUSTOM = V1 | dict(qk_norm="rms_norm", long_skip_connection=True, text_embedding_average_upsampling=True)
NETWORKS = {
    "v0": ("DiT", DIT | V0),
    "v1": ("DiT", DIT | V1),
    "custom": ("DiT", DIT | CUSTOM),
    "e2": ("UNetT", UNETT),
    "e2 add": ("UNetT", UNETT | dict(skip_connect_type="add")),
}
SAMPLES = {
    "euler 4": dict(steps=4, cfg_strength=2.0, sway_sampling_coef=-1.0),
    "epss 7": dict(steps=7, cfg_strength=2.0, sway_sampling_coef=-1.0),
    "unguided": dict(steps=3, cfg_strength=0.0, sway_sampling_coef=None),
    "midpoint": dict(steps=3, cfg_strength=1.5, sway_sampling_coef=0.4),
    "edit": dict(steps=3, cfg_strength=2.0, sway_sampling_coef=-1.0),
}
KEEP = np.arange(N_REFERENCE) % 4 != 1  # for "edit"


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A weight of the network by its name: the same for everybody."""
    count = int(np.prod(shape))
    wave = np.sin(12.9898 * np.arange(count) + zlib.crc32(name.encode()) % 10007)
    if len(shape) == 3 and shape[:2] == (1, 1):
        wave = 0.5 * wave
    elif len(shape) >= 2:
        wave = wave * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(("norm.weight", ".g", "gamma")):
        wave = 1 + 0.1 * wave
    else:
        wave = 0.1 * wave
    return wave.reshape(shape).astype(np.float32)


def reference_mel() -> np.ndarray:
    return np.sin(0.7310585 * np.arange(N_REFERENCE * N_MELS) + 0.2).reshape(N_REFERENCE, N_MELS).astype(np.float32)


def wave() -> np.ndarray:
    i = np.arange(6077)
    parts = 0.3 * np.sin(2 * np.pi * 220 * i / 24000) + 0.2 * np.sin(2 * np.pi * 3000 * i / 24000 + 0.5)
    return (parts + 0.05 * np.sin(i * i * 0.00031)).astype(np.float32)


def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_suffix(".npz")) as file:
        return dict(file)


def fill(module):
    import torch

    state = {k: torch.from_numpy(weight(k, tuple(v.shape))) for k, v in module.state_dict().items() if "mel" not in k}
    kept = {k: v for k, v in module.state_dict().items() if k not in state or k.endswith(("inv_freq", "window"))}
    module.load_state_dict({**state, **kept})
    return module.eval()


def main() -> None:
    import torch
    from f5_tts.model.backbones.dit import DiT
    from f5_tts.model.backbones.unett import UNetT
    from f5_tts.model.cfm import CFM
    from f5_tts.model.modules import MelSpec
    from vocos import Vocos
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    arrays = {}
    mel = torch.from_numpy(reference_mel())[None]
    for name, (kind, arch) in NETWORKS.items():
        network = {"DiT": DiT, "UNetT": UNetT}[kind](mel_dim=N_MELS, text_num_embeds=40, **arch)
        model = fill(CFM(transformer=network))
        arrays[f"{name} text"] = network.text_embed(torch.tensor([IDS]), FRAMES, drop_text=False)[0].detach().numpy()
        for sample, options in SAMPLES.items():
            if name not in ("v0", "v1") and sample not in ("euler 4", "unguided"):
                continue
            model.odeint_kwargs = dict(method="midpoint" if sample == "midpoint" else "euler")
            mask = torch.from_numpy(KEEP)[None] if sample == "edit" else None
            out, _ = model.sample(mel, torch.tensor([IDS]), FRAMES, seed=SEED, edit_mask=mask, **options)
            arrays[f"{name} {sample}"] = out[0, ::3].numpy()
    for padding in ("center", "same"):
        parts = (
            MelSpectrogramFeatures(padding=padding),
            VocosBackbone(N_MELS, 32, 64, 2),
            ISTFTHead(32, 1024, 256, padding),
        )
        vocos = fill(Vocos(*parts))
        features = vocos.feature_extractor(torch.from_numpy(wave())[None])
        arrays[f"vocos {padding} mel"] = features[0].T.numpy()[::4]
        arrays[f"vocos {padding} audio"] = vocos.decode(3 * mel.transpose(1, 2))[0].numpy()
    arrays["mel"] = MelSpec()(torch.from_numpy(wave())[None])[0].T.numpy()[::4]
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    sys.exit(main())
