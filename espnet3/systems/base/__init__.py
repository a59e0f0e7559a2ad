"""The workflow: stages that compose everything below."""
