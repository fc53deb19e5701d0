"""Generated data sets: anatomy, how modalities look, and nnU-Net's raw folders of them."""
