"""Open what the user names (a factory, a program, a Hugging Face model) as a module with example inputs."""
