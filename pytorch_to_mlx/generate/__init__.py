"""What loops over a model need: sampling, beam search, rules on logits, solvers of flow matching."""
