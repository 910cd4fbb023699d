"""OpenAI's realtime API over a WebSocket: live transcription."""
