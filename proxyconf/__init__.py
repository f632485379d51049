"""Keep nginx's configuration in step with what is running."""

__version__ = "0.1.0"
