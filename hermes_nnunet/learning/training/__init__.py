"""The parts that HermesTrainer puts into nnU-Net's training loop."""
