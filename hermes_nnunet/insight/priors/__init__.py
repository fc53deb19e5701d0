"""What a network learned about its tasks and modalities: the prior tokens of a checkpoint, compared and drawn."""
