"""Length of the demonstration's training: enough to see it work, some minutes on two CPU cores."""

EPOCHS = 10
ITERATIONS_PER_EPOCH = 90
VALIDATION_ITERATIONS_PER_EPOCH = 5
