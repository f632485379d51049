"""nginx: routes to configuration text, and what is needed to have a running nginx serve it.

Text, without I/O and without a clock: `quoting` turns values into tokens and tokens into directives; `build`
knows what an nginx supports; `dialect` is all a rendering depends on besides the snapshot; `parts` writes a
service or a host; `root` writes the file that names the parts; `site` puts them together.
"""
