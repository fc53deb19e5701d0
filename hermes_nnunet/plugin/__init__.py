"""How nnU-Net comes to see Hermes: the plug-in points, and links to them."""
