"""The published folder of CosyVoice: which files it holds, and the numbers they give."""
