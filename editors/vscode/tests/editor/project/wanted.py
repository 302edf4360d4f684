def test_triple():
    assert triple(2) == 6
    assert triple(-1) == -3
