"""The one error that the demo raises on purpose."""


class DemoError(Exception):
    """Something did not go as it should; the message says what, for people."""
