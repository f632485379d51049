"""The one door to gRPC, and to aetcd's messages and stubs: here gRPC is set up before it is loaded.

aetcd's own client stays outside. It has no TLS, and its watch neither ends when etcd cancels it nor tells
which changes belong together; so we open the channel, and read the stream, ourselves.
"""

from __future__ import annotations

import os

# with it, a child that is started with preexec_fn= or user= may die before its exec
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# what it would print about failed handshakes arrives as an error, too
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from aetcd import rpc

__all__ = ["grpc", "rpc"]
