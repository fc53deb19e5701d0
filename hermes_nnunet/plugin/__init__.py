"""How nnU-Net finds Hermes: the plug-in points, and links to them for an editable install.

The four folders in here hold one-line modules that are installed into nnU-Net's own packages. May import planning,
whose classes those modules offer. Hands out `points.PLUGIN_POINTS`, which setup.py reads too, and functions that find
and link them.
"""
