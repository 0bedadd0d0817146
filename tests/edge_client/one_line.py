"""What a command says of a mistake."""

from typer.testing import Result


def one_line_of(done: Result) -> str:
    """The only line that a command printed, on standard error, when it failed."""
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert not done.stdout
    return line
