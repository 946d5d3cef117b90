"""A command that is refused, for tests."""

from autapse.cli import run


def refusal(capsys, *arguments) -> str:
    """The one line on standard error of a command that ends with 2."""
    assert run(list(arguments)) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("autapse: ") and "\n" not in error
    return error
