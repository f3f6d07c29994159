"""Tool-using AI agents on your own machines. Importing this loads nothing but a version."""

__version__ = "0.3.0.dev0"
