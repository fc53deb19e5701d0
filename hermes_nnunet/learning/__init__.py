"""What training does: the loss, the parts of the training loop, and several processes.

`loss` knows nothing of the loop, `distributed` runs the trainer on several GPUs or machines, `training` has what the
trainers in `trainers` wire together (sampling, schedule, averages, learning curves, continuation). May import networks
and core. Hands out those parts; the trainers themselves are nnU-Net's to find.
"""
