"""From a torch module to our graph: torch.export, with the patches it needs; and the module watched as it runs."""
