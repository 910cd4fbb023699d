"""One folder for each architecture family."""
