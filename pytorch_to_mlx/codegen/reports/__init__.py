"""What a conversion and an analysis found, as data and as text. Needs no torch."""
