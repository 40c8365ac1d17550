"""The command line from within a test: what a call returns and prints, and that every mistake ends in one line."""

from fastbp.cli import main


def run(capsys, *arguments):
    """Exit status, stdout and stderr of a call in this process."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as exit_:
        status = exit_.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def assert_one_line(status, out, err, *words):
    assert status == 1
    assert out == ""
    assert err.startswith("fastbp: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err
