"""Names as a terminal may show them."""

import pytest

from inception_tf.text import printable


@pytest.mark.parametrize("name, expected", [
    ("cat.jpg", "cat.jpg"), ("Größe 猫", "Größe 猫"),
    ("a\x1b[31mred", r"a\x1b[31mred"), ("two\nlines", r"two\nlines"), ("\x9b2J", r"\x9b2J"),
    ("evil\u202egpj.exe", r"evil\u202egpj.exe"),
])
def test_printable_escapes_controls_and_nothing_else(name, expected):
    assert printable(name) == expected
