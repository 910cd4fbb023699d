"""F5-TTS and E2-TTS."""
