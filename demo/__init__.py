"""The main job, shown on real parts: a private etcd and nginx, tiny backends, and the program itself.

``python -m demo`` (or ``make demo``) starts them on free ports of the loopback address, in a temporary
folder, and ends and removes all of it. Every line marked ok is a check that was made, and can fail.
"""
