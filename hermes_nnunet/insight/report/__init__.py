"""The report of a trained model: one page that can be read without anything else."""
