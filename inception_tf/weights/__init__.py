"""Files of weights <-> named arrays; no builder is known here.

The tables of other projects' names need no Keras, TensorFlow or torch.
"""
