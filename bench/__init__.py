"""Speed and memory of the real program, on real etcd and nginx, against nginx told directly."""
