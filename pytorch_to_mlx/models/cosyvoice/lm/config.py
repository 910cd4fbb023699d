"""The sizes of the language model, and how it draws."""

from dataclasses import dataclass

from ....config import number


@dataclass(frozen=True)
class LMConfig:
    """Qwen2's numbers under Hugging Face's names, the speech vocabulary, and how tokens are drawn."""

    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    vocab_size: int = 151936
    rms_norm_eps: float = number(1e-6, low=0)
    rope_theta: float = number(1e6, low=1)
    speech_token_size: int = 6561
    mix_ratio: tuple[int, int] = (5, 15)
    top_p: float = number(0.8, low=0, high=1)
    top_k: int = 25
    win_size: int = number(10, low=0)
    tau_r: float = number(0.1, low=0, high=1)

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(f"hidden_size {self.hidden_size} has no {self.num_attention_heads} heads of an even size")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(f"{self.num_attention_heads} heads cannot share {self.num_key_value_heads} keys")

    @classmethod
    def tiny(cls) -> "LMConfig":
        return cls(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=120,
        )
