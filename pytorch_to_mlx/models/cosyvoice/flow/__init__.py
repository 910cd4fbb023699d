"""Flow matching: speech tokens to a mel spectrogram."""
