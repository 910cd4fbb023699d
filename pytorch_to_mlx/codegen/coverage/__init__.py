"""How much converts: torch's own op samples, Hugging Face, timm and other packages, every case counted."""
