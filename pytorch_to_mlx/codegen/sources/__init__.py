"""What the user named, opened: a module with example inputs."""
