"""From logits of tasks to label values."""
