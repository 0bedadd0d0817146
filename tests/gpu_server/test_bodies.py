from overtone.gpu_server.rest.bodies import PIECE, _append


def test_bytes_that_come_one_by_one_lie_together() -> None:
    pieces: list[bytearray] = []
    for _ in range(2 * PIECE + 1):
        _append(pieces, b"x")
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 1]


def test_large_pieces_are_not_copied_into_larger_ones() -> None:
    pieces: list[bytearray] = []
    for piece in (b"a" * PIECE, b"b" * (PIECE - 1), b"c", b"d" * (PIECE + 1)):
        _append(pieces, piece)
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, PIECE + 1]
    assert b"".join(pieces) == b"a" * PIECE + b"b" * (PIECE - 1) + b"c" + b"d" * (PIECE + 1)
