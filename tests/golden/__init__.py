"""Golden files, and the code that makes or explains them."""
