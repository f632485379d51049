"""The set-up, looked at: what is well, what is not, and the mend. Nothing is changed, and no lock taken.

A kind of source can have more to say than that it answers: ``kind_NAME.py`` with ``examine(source)``, an
async generator of findings, is found by its name and loaded only where that kind is configured.
"""
