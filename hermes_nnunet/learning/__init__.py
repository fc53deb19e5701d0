"""Training: the loss, the parts of the training loop, and several processes.

`loss` does not depend on the loop, `distributed` runs the trainer on several GPUs or machines, `training` has the parts
that the trainers in `trainers` wire together (sampling, schedule, averages, learning curves, continuation). May import
networks and core. Hands out those parts; nnU-Net finds the trainers itself.
"""
