"""Results and validations in the browser: which cases there are, their voxels, and the server that shows them."""
