"""The results of a conversion and of an analysis, as data and as text. Needs no torch."""
