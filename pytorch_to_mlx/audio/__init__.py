"""Signal functions and audio files, without weights."""
