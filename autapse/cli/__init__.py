"""The command line. Errors are one line on standard error: code 2 for bad input, 1 for a failed comparison."""

import sys

import typer

from ..sw_driver.errors import AutapseError
from .bench import bench
from .board import boards, build
from .doctor import doctor
from .estimate import estimate
from .federate import federate_command
from .info import info
from .map import map_command
from .program import program
from .sim_board import sim_board
from .train import train
from .verify import verify

_INTERRUPTED = 130      # what some versions of typer make of an interrupt, without a word

app = typer.Typer(name="autapse", no_args_is_help=False, add_completion=False, rich_markup_mode=None,
                  pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
                  help="Neuromorphic chips that train spiking networks on the FPGA, equal to a golden model bit for "
                  "bit.")
app.command("train")(train)
app.command("verify")(verify)
app.command("info")(info)
app.command("bench")(bench)
app.command("map")(map_command)
app.command("boards")(boards)
app.command("build")(build)
app.command("program")(program)
app.command("estimate")(estimate)
app.command("federate")(federate_command)
app.command("sim-board")(sim_board)
app.command("doctor")(doctor)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line on `arguments` (those of the process by default) and exits with its code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """As `main`, but returns the exit code: 0 done, 1 a comparison failed, 2 bad input or interrupted."""
    try:
        code = app(args=arguments, prog_name="autapse", standalone_mode=False) or 0
        if code != _INTERRUPTED:
            return code
        sentence = "interrupted"
    except AutapseError as error:
        sentence = str(error)
    except (KeyboardInterrupt, typer.Abort):
        sentence = "interrupted"
    except OSError as error:
        sentence = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    except MemoryError:
        sentence = "out of memory; choose a smaller batch, network or data set"
    except Exception as error:
        # Usage errors: typer carries its own copy of click in some versions, so the class is known by its method.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        *names, last = (command.name or "" for command in app.registered_commands)
        sentence = describe() if (sys.argv[1:] if arguments is None else arguments) else (
            f"say what to do: autapse {', '.join(names)} or {last} (autapse --help has more)")
    print(f"autapse: {' '.join(sentence.split())}", file=sys.stderr)
    return 2
