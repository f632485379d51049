"""confd's command line: the flags, variables and confd.toml of its two lines, as settings of ours.

Somebody who runs confd stops it, and starts this with the same files and command line; docs/from-confd.md is
for them.
"""

from proxyconf.confd.asked import Asked
from proxyconf.confd.command import make_command, parse

__all__ = ["Asked", "make_command", "parse"]
