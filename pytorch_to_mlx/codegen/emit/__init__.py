"""From our graph to readable MLX source and its weights. Files here import no torch themselves."""
