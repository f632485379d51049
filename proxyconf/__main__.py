"""Let ``python -m proxyconf`` do what ``proxyconf`` does."""

from proxyconf.cli import entry

entry()
