"""Capture a torch module as our graph, by torch.export with the patches it needs, and watch the module as it runs."""
