"""The original's vocoder and flow, of our sizes; with random weights."""

from typing import Any

from .hift import HiftConfig
from .original import original


def build_hift(config: HiftConfig) -> Any:
    """The original's HiFTGenerator."""
    generator, predictor = original("cosyvoice.hifigan.generator", "cosyvoice.hifigan.f0_predictor")
    names = (
        "base_channels nb_harmonics nsf_alpha nsf_sigma nsf_voiced_threshold upsample_rates upsample_kernel_sizes "
        "resblock_kernel_sizes resblock_dilation_sizes source_resblock_kernel_sizes source_resblock_dilation_sizes "
        "lrelu_slope audio_limit"
    )
    numbers = {name: getattr(config, name) for name in names.split()}
    return generator.HiFTGenerator(
        in_channels=config.n_mels,
        sampling_rate=config.sample_rate,
        istft_params={"n_fft": config.n_fft, "hop_len": config.hop_length},
        f0_predictor=predictor.ConvRNNF0Predictor(1, config.n_mels, config.f0_channels),
        **{name: list(value) if isinstance(value, tuple) else value for name, value in numbers.items()},
    ).eval()
