"""Write a release of F5-TTS or E2-TTS with Vocos at full size, with random weights: the published ones are not free.

python benchmarks/random_f5_release.py FOLDER [F5TTS_v1_Base | F5TTS_Base | E2TTS_Base]

FOLDER/NAME then holds model_1250000.safetensors, and vocos/ beside it, in the layouts of the originals; vocab.txt comes
with `pip install --no-deps f5-tts==1.1.22`. Measure with
pytorch-to-mlx benchmark f5-tts --hf-path FOLDER/NAME --against torch --workloads sample-4-steps --runs 2
"""

import sys
from pathlib import Path

import mlx.core as mx
import yaml
from mlx.utils import tree_flatten

from pytorch_to_mlx.backend.rope import rotary_frequencies
from pytorch_to_mlx.checkpoint.packaged import find
from pytorch_to_mlx.models.f5tts.config import HEAD_DIM, THETA, VARIANTS, Config
from pytorch_to_mlx.models.f5tts.model import Model
from pytorch_to_mlx.models.f5tts.weights import WEIGHTS
from pytorch_to_mlx.models.vocos.config import Config as VocosConfig
from pytorch_to_mlx.models.vocos.model import Model as Vocos
from pytorch_to_mlx.models.vocos.weights import WEIGHTS as VOCOS_WEIGHTS
from pytorch_to_mlx.weights import invert

E2 = VARIANTS["v0"] | {"backbone": "UNetT", "text_hidden_size": 100, "num_text_layers": 0}
SIZES = {
    "F5TTS_v1_Base": Config(),
    "F5TTS_Base": Config(**VARIANTS["v0"]),
    "E2TTS_Base": Config(**E2, num_hidden_layers=24, intermediate_size=4096),
}
_MEL = {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"}
VOCOS_YAML = {
    "feature_extractor": {"class_path": "vocos.feature_extractors.MelSpectrogramFeatures", "init_args": _MEL},
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 100, "dim": 512, "intermediate_dim": 1536, "num_layers": 8},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 512, "n_fft": 1024, "hop_length": 256, "padding": "center"},
    },
}


def main(folder: str, name: str = "F5TTS_v1_Base") -> None:
    target = Path(folder) / name
    (target / "vocos").mkdir(parents=True)
    mx.random.seed(0)
    state = invert(WEIGHTS, dict(tree_flatten(Model(SIZES[name]).parameters())))
    state["transformer.rotary_embed.inv_freq"] = mx.array(rotary_frequencies(HEAD_DIM, THETA))
    released = {f"ema_model.{key}": value for key, value in state.items()}
    counters = {"initted": mx.array(True), "step": mx.array(1250000)}
    mx.save_safetensors(str(target / "model_1250000.safetensors"), released | counters)
    (target / "vocab.txt").write_bytes((find("f5-vocab") / "vocab.txt").read_bytes())
    state = invert(VOCOS_WEIGHTS, dict(tree_flatten(Vocos(VocosConfig()).parameters())))
    mx.save_safetensors(str(target / "vocos" / "model.safetensors"), state)
    (target / "vocos" / "config.yaml").write_text(yaml.safe_dump(VOCOS_YAML))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
