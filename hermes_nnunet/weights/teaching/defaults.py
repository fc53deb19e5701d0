"""How long teaching takes if nobody says otherwise: three minutes on two cores at 3 mm, with a small network.

Without torch, for the command line's help.
"""

STEPS = 150
LEFT_OUT = 1
