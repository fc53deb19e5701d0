"""What a collection or a model is made of."""
