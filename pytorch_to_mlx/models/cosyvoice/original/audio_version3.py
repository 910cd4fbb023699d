"""Build the original's vocoder and flow of version 3 with our sizes.

No package holds them: they come from a checkout of FunAudioLLM/CosyVoice, which also needs the package x-transformers.
"""

from typing import Any

from ..flow.dit_flow import DiTFlowConfig
from ..vocoder.config import CausalHiftConfig
from .audio import cfm_parameters, hift_numbers
from .imports import original, version_member


def build_causal_hift(config: CausalHiftConfig) -> Any:
    """Build the original's CausalHiFTGenerator, with random weights, and its own noise where that was seeded."""
    generator, predictor = original("cosyvoice.hifigan.generator", "cosyvoice.hifigan.f0_predictor")
    f0 = version_member(predictor, "CausalConvRNNF0Predictor")(1, config.n_mels, config.f0_channels)
    numbers = hift_numbers(config)
    return version_member(generator, "CausalHiFTGenerator")(
        conv_pre_look_right=config.lookahead, f0_predictor=f0, **numbers
    ).eval()


def build_dit_flow(config: DiTFlowConfig) -> Any:
    """Build the original's CausalMaskedDiffWithDiT, with random weights."""
    flow, matching, encoders = original(
        "cosyvoice.flow.flow", "cosyvoice.flow.flow_matching", "cosyvoice.transformer.upsample_encoder"
    )
    causal_flow = version_member(flow, "CausalMaskedDiffWithDiT")
    (dit,) = original("cosyvoice.flow.DiT.dit")
    sizes, lookahead, mels = config.estimator, config.encoder, config.n_mels
    estimator = dit.DiT(
        dim=sizes.hidden_size,
        depth=sizes.num_hidden_layers,
        heads=sizes.num_attention_heads,
        dim_head=sizes.head_dim,
        ff_mult=sizes.ff_mult,
        mel_dim=mels,
        mu_dim=mels,
        spk_dim=mels,
        out_channels=mels,
        static_chunk_size=config.chunk_size * config.token_mel_ratio,
        num_decoding_left_chunks=-1,
    )
    return causal_flow(
        mels,
        mels,
        config.speaker_dim,
        vocab_size=config.vocab_size,
        token_mel_ratio=config.token_mel_ratio,
        pre_lookahead_len=lookahead.lookahead,
        pre_lookahead_layer=encoders.PreLookaheadLayer(mels, lookahead.channels, lookahead.lookahead),
        decoder=matching.CausalConditionalCFM(3 * mels, cfm_parameters(config), 1, mels, estimator),
    ).eval()
