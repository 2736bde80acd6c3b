"""`inception-tf prepare`: makes a data set ready for training."""
