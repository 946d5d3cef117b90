"""What placement is told of a board's pins: LPF, PCF or XDC, and Vivado's project."""

from ..boards.board import Board, Pin


def lpf(pins: dict[str, Pin], board: Board) -> str:
    """Of an ECP5."""
    lines = ["BLOCK ASYNCPATHS;", "BLOCK RESETPATHS;"]
    for port, pin in pins.items():
        values = " ".join(f"{name}={value}" for name, value in pin.attributes.items())
        lines += [f'LOCATE COMP "{port}" SITE "{pin.site}";', f'IOBUF PORT "{port}" {values};']
    lines.append(f'FREQUENCY PORT "clk" {board.clock_hz:.0f} HZ;')
    return "\n".join(lines) + "\n"


def pcf(pins: dict[str, Pin], board: Board) -> str:
    """Of an iCE40."""
    lines = [f"set_io {'-pullup yes ' if pin.attributes.get('PULLUP') == '1' else ''}{port} {pin.site}"
             for port, pin in pins.items()]
    return "\n".join([*lines, f"set_frequency clk {board.clock_hz / 1e6:g}"]) + "\n"


def xdc(pins: dict[str, Pin], board: Board) -> str:
    """Of a 7-series part. Both kinds of line bring their own timing, so that no path to or from a pin has any."""
    lines, both = [], {port for port in pins if port.startswith("data_")}
    incoming = both | ({"rx", "rxf", "txe"} & set(pins))
    for port, pin in pins.items():
        lines.append(f"set_property PACKAGE_PIN {pin.site} [get_ports {port}]")
        lines += [f"set_property {name} {value} [get_ports {port}]" for name, value in pin.attributes.items()]
    lines += [f"create_clock -name clk -period {1e9 / board.clock_hz:.3f} [get_ports clk]",
              f"set_false_path -from [get_ports {{{' '.join(sorted(incoming))}}}]",
              f"set_false_path -to [get_ports {{{' '.join(sorted(set(pins) - incoming - {'clk', 'clk_n'} | both))}}}]"]
    return "\n".join(lines) + "\n"


def vivado(board: Board) -> str:
    """Tcl that makes a bitstream of design.v and design.xdc: `vivado -mode batch -source build.tcl`."""
    return f"""create_project -in_memory -part {board.device.name}
read_verilog design.v
read_xdc design.xdc
synth_design -top top
opt_design
place_design
phys_opt_design
route_design
report_timing_summary -file timing.rpt
report_utilization -file utilisation.rpt
write_bitstream -force {board.name}.bit
"""
