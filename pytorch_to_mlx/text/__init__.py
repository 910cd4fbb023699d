"""Text to tokens or phonemes, without weights."""
