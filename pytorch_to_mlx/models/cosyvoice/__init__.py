"""CosyVoice: version 2 (0.5B)."""
