"""The loss of partially labelled batches."""
