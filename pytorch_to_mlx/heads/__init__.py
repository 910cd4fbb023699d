"""Small heads on a frozen encoder: define, cache features, train, evaluate."""
