"""The worked example at the head of `dbp.rtl.proof.words` is true, and the picture of its cases."""

import doctest
import re
from dataclasses import replace

from dbp.rtl.proof import requantizer, words
from dbp.rtl.proof.golden_polynomials import GoldenPolynomials
from dbp.rtl.proof.netlist import read_modules
from dbp.rtl.proof.polynomial import Space, Variable
from dbp.rtl.proof.requantizer import Piece, Requantizer, WordRange, prove_requantizer

TOP = "three_taps"


def test_the_worked_example_is_true(tmp_path):
    text = re.search(rf"    module {TOP}.*?endmodule\n", words.__doc__, re.DOTALL)[0]
    (tmp_path / "three_taps.v").write_text(text)
    names = {
        **{"netlist": read_modules(tmp_path, [TOP])[TOP], "replace": replace},
        **{"GoldenPolynomials": GoldenPolynomials, "Space": Space, "Variable": Variable},
    }
    example = doctest.DocTestParser().get_doctest(
        words.__doc__, vars(words) | names, "worked example", words.__file__, 0
    )
    assert len(example.examples) == 15
    results = doctest.DocTestRunner().run(example)
    assert results.failed == 0


# The pieces in the order of the picture, and the output of each; None: the word's own shifted bits.
PICTURE = {
    **{Piece(-30, 1): -4, Piece(-28, 2): -4, Piece(-24, 3): -4, Piece(-16, 4): None},
    **{Piece(0, 4): None, Piece(16, 3): 3, Piece(24, 2): 3, Piece(28, 1): 3, Piece(30, 0): 3},
}


def test_the_picture_of_the_cases_is_true():
    """-30..30, shifted by 2, to 3 bits: which pieces are proved, and with what output."""
    cases = []

    def logic(word):
        """The gates of the worked example, for words whose upper two bits are constants."""
        clips = word[5] != word[4]
        out = [1 - word[5], 1 - word[5], word[5]] if clips else word[2:5]
        cases.append((word, out))
        return out

    rule = Requantizer(2, 3)
    outcome = prove_requantizer(logic, WordRange(6, -30, 30), rule.half, rule, signed=True)
    assert outcome.proved and outcome.cases == 9
    for (word, out), (piece, limit) in zip(cases, PICTURE.items(), strict=True):
        assert word == piece.symbols(6)
        assert out == (word[2:5] if limit is None else [limit >> k & 1 for k in range(3)])
    text = requantizer.__doc__
    assert all(str(piece.start) in text for piece in (Piece(-24, 3), Piece(-16, 4), Piece(24, 2)))
    assert re.findall(r"(\d) piece", text) == ["2", "1", "1", "1", "1", "3"]
