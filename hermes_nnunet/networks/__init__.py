"""Networks that are told the context of an image."""
