"""Build the original's vocoder and flow with our sizes."""

import warnings
from inspect import signature
from types import SimpleNamespace
from typing import Any

from ..flow.causal import CausalFlowConfig
from ..flow.flow import FlowConfig
from ..vocoder.config import HiftConfig
from .imports import original


def hift_numbers(config: HiftConfig) -> dict[str, Any]:
    """Return our sizes as the arguments of the original's vocoders."""
    names = (
        "base_channels nb_harmonics nsf_alpha nsf_sigma nsf_voiced_threshold upsample_rates upsample_kernel_sizes "
        "resblock_kernel_sizes resblock_dilation_sizes source_resblock_kernel_sizes source_resblock_dilation_sizes "
        "lrelu_slope audio_limit"
    )
    numbers = {name: getattr(config, name) for name in names.split()}
    return {
        "in_channels": config.n_mels,
        "sampling_rate": config.sample_rate,
        "istft_params": {"n_fft": config.n_fft, "hop_len": config.hop_length},
        **{name: list(value) if isinstance(value, tuple) else value for name, value in numbers.items()},
    }


def build_hift(config: HiftConfig) -> Any:
    """Build the original's HiFTGenerator, with random weights."""
    generator, predictor = original("cosyvoice.hifigan.generator", "cosyvoice.hifigan.f0_predictor")
    f0_predictor = predictor.ConvRNNF0Predictor(1, config.n_mels, config.f0_channels)
    return generator.HiFTGenerator(f0_predictor=f0_predictor, **hift_numbers(config)).eval()


def cfm_parameters(config: CausalFlowConfig) -> SimpleNamespace:
    """Return the parameters of the original's solver."""
    return SimpleNamespace(
        sigma_min=1e-6,
        solver="euler",
        t_scheduler="cosine",
        training_cfg_rate=0.2,
        inference_cfg_rate=config.guidance_rate,
        reg_loss_type="l1",
    )


def build_flow(config: FlowConfig) -> Any:
    """Build the original's CausalMaskedDiffWithXvec, with random weights."""
    flow, matching, decoder, encoders = original(
        "cosyvoice.flow.flow", "cosyvoice.flow.flow_matching", "cosyvoice.flow.decoder",
        "cosyvoice.transformer.upsample_encoder",
    )  # fmt: skip
    ours, sizes = config.encoder, config.estimator
    encoder = encoders.UpsampleConformerEncoder(
        ours.hidden_size,
        ours.hidden_size,
        ours.num_attention_heads,
        ours.intermediate_size,
        ours.num_hidden_layers,
        input_layer="linear",
        pos_enc_layer_type="rel_pos_espnet",
        selfattention_layer_type="rel_selfattn",
        use_cnn_module=False,
        macaron_style=False,
        static_chunk_size=config.chunk_size,
    )
    # These two have their width, 512, written into the encoder's code.
    lookahead = encoders.PreLookaheadLayer
    widths = {"in_channels": ours.hidden_size} if "in_channels" in signature(lookahead).parameters else {}
    encoder.pre_lookahead_layer = lookahead(**widths, channels=ours.hidden_size, pre_lookahead_len=ours.lookahead)
    encoder.up_layer = encoders.Upsample1D(ours.hidden_size, ours.hidden_size, config.token_mel_ratio)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`LoRACompatibleLinear`", FutureWarning)  # diffusers, about its own
        estimator = decoder.CausalConditionalDecoder(
            4 * config.n_mels,
            config.n_mels,
            channels=[sizes.channels],
            dropout=0.0,
            attention_head_dim=sizes.head_dim,
            n_blocks=sizes.num_transformer_layers,
            num_mid_blocks=sizes.num_mid_blocks,
            num_heads=sizes.num_attention_heads,
            act_fn="gelu",
            static_chunk_size=config.chunk_size * config.token_mel_ratio,
            num_decoding_left_chunks=-1,
        )
    return flow.CausalMaskedDiffWithXvec(
        ours.hidden_size,
        config.n_mels,
        config.speaker_dim,
        vocab_size=config.vocab_size,
        token_mel_ratio=config.token_mel_ratio,
        pre_lookahead_len=ours.lookahead,
        encoder=encoder,
        decoder=matching.CausalConditionalCFM(3 * config.n_mels, cfm_parameters(config), 1, config.n_mels, estimator),
    ).eval()
