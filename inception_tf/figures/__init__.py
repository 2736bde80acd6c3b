"""The figures of the paper, drawn from the built networks."""

# Kinds of files that a drawing can be, as their names end.
FORMATS = ("svg", "png")
