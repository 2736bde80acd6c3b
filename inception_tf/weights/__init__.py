"""Weights from elsewhere: what each variable of ours is called in TF-slim, Keras and timm.

The tables need no TensorFlow and no torch; they turn named arrays into named arrays,
which `assign` puts into a network.
"""
