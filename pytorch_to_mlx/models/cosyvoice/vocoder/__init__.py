"""The vocoder: a mel spectrogram to samples."""
