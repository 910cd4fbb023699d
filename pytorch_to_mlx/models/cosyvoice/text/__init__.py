"""Text to the pieces and ids that the language model reads."""
