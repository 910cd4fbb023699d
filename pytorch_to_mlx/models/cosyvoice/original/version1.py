"""Build version 1's language model and flow of the original with our sizes."""

import warnings
from types import SimpleNamespace
from typing import Any

from ..conformer import ConformerConfig
from ..flow.regulated import LAYERS, RegulatedFlowConfig
from ..lm.transformer import TransformerLMConfig
from .imports import original

ATTENTION = {"pos_enc_layer_type": "rel_pos_espnet", "selfattention_layer_type": "rel_selfattn"}


def build_transformer_lm(config: TransformerLMConfig) -> Any:
    """Build the original's TransformerLM, with random weights."""
    llm, encoders, common = original("cosyvoice.llm.llm", "cosyvoice.transformer.encoder", "cosyvoice.utils.common")
    size = config.hidden_size
    decoder = encoders.TransformerEncoder(
        size,
        size,
        config.num_attention_heads,
        config.intermediate_size,
        config.num_hidden_layers,
        input_layer="linear_legacy",
        static_chunk_size=1,
        **ATTENTION,
    )

    def sampling(scores: Any, decoded: Any, number: int) -> Any:
        return common.ras_sampling(scores, decoded, number, config.top_p, config.top_k, config.win_size, config.tau_r)

    return llm.TransformerLM(
        config.text_size,
        size,
        size,
        config.vocab_size,
        config.speech_token_size,
        _conformer(config.text_size, config.text_encoder, static_chunk_size=1),
        decoder,
        sampling,
        spk_embed_dim=config.speaker_dim,
    ).eval()


def build_regulated_flow(config: RegulatedFlowConfig) -> Any:
    """Build the original's MaskedDiffWithXvec, with random weights."""
    flow, matching, decoder, regulator = original(
        "cosyvoice.flow.flow", "cosyvoice.flow.flow_matching", "cosyvoice.flow.decoder",
        "cosyvoice.flow.length_regulator",
    )  # fmt: skip
    sizes, mels = config.estimator, config.n_mels
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`LoRACompatibleLinear`", FutureWarning)  # diffusers, about its own
        estimator = decoder.ConditionalDecoder(
            4 * mels,
            mels,
            channels=[sizes.channels] * 2,
            dropout=0.0,
            attention_head_dim=sizes.head_dim,
            n_blocks=sizes.num_transformer_layers,
            num_mid_blocks=sizes.num_mid_blocks,
            num_heads=sizes.num_attention_heads,
            act_fn="gelu",
        )
    cfm = SimpleNamespace(
        sigma_min=1e-6,
        solver="euler",
        t_scheduler="cosine",
        training_cfg_rate=0.2,
        inference_cfg_rate=config.guidance_rate,
        reg_loss_type="l1",
    )
    return flow.MaskedDiffWithXvec(
        config.encoder.hidden_size,
        mels,
        config.speaker_dim,
        vocab_size=config.vocab_size,
        input_frame_rate=config.token_rate,
        encoder=_conformer(config.encoder.hidden_size, config.encoder),
        length_regulator=regulator.InterpolateRegulator(mels, [1] * LAYERS),
        decoder=matching.ConditionalCFM(3 * mels, cfm, 1, mels, estimator),
    ).eval()


def _conformer(input_size: int, config: ConformerConfig, **options: Any) -> Any:
    (encoders,) = original("cosyvoice.transformer.encoder")
    return encoders.ConformerEncoder(
        input_size,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.num_hidden_layers,
        input_layer="linear",
        use_cnn_module=False,
        macaron_style=False,
        **ATTENTION,
        **options,
    )
