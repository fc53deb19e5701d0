"""Labels of images without labels by a trained model, where it is confident."""
