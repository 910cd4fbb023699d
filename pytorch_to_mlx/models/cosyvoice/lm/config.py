"""The sizes of the language model, and how its tokens are drawn."""

from dataclasses import dataclass

from ....config import number
from ..versions import COSYVOICE2


@dataclass(frozen=True, kw_only=True)
class SpeechLMConfig:
    """What the language models of all versions have: heads of an even size, and how tokens are drawn.

    top_p to tau_r: see generate/sample.py.
    """

    hidden_size: int
    num_attention_heads: int
    top_p: float = number(0.8, low=0, high=1)
    top_k: int = 25
    win_size: int = number(10, low=0)
    tau_r: float = number(0.1, low=0, high=1)

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads of an even size"
            )


@dataclass(frozen=True, kw_only=True)
class LMConfig(SpeechLMConfig):
    """Qwen2's sizes under Hugging Face's names, and the speech vocabulary.

    mix_ratio: text and speech tokens that alternate when the text is a stream.
    """

    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    vocab_size: int = 151936
    rms_norm_eps: float = number(1e-6, low=0)
    rope_theta: float = number(1e6, low=1)
    speech_token_size: int = COSYVOICE2.speech_tokens
    mix_ratio: tuple[int, int] = (5, 15)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(f"{self.num_attention_heads} heads cannot share {self.num_key_value_heads} keys")

    @classmethod
    def tiny(cls) -> "LMConfig":
        """Return small sizes for tests."""
        return cls(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=120,
        )
