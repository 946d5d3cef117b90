"""Bitwuzla, as its wheel brings it, as the program that yosys-smtbmc talks to: SMT-LIB in, answers out.

Run as a file of its own; arguments but `--help` are ignored.
"""

import sys


def commands(lines):
    """Whole commands of an SMT-LIB script: text with as many closing parentheses as opening ones."""
    text, depth = [], 0
    for line in lines:
        code = line.split(";", 1)[0]    # yosys-smtbmc writes no ; in names
        depth += code.count("(") - code.count(")")
        text.append(code)
        if not depth:
            yield "".join(text).strip()
            text = []


def main():
    """Answers until the input ends, or (exit)."""
    from bitwuzla import Options, Parser, TermManager

    if "--help" in sys.argv[1:]:
        print("--lang smt2")    # by which yosys-smtbmc knows a version that it can talk to
        return
    parser = Parser(TermManager(), Options())
    for command in commands(sys.stdin):
        if command.startswith("(exit"):
            break
        if command:
            parser.parse(command, False, False)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
