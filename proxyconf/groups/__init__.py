"""Groups: template resources that succeed or fail together, on their way to their files and into effect.

A `Group` is a transaction: render, check in context, install, reload, prove; what is refused goes back to its
last good bytes, what is not proved is reloaded again, for ever. A `Lane` runs one group beside the others, so
that a command that hangs holds up nobody else.
"""
