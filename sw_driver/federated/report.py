"""The report of a federation: one HTML file that opens without a server and without a network."""

from dataclasses import asdict
from pathlib import Path

from .. import report as run_report
from ..files import write_text
from .run import Result

TEMPLATE = """
<h1>{{ title }}</h1>
<p class="sub">{{ subtitle }}</p>
<div class="cards">{% for value, label in cards %}
  <div class="card"><b>{{ value }}</b><span>{{ label }}</span></div>{% endfor %}
</div>
<section><h2>Accuracy</h2>{{ accuracy | safe }}
<p class="note">{{ accuracy_note }}</p></section>
{% if compared %}<section><h2>Beside no federation</h2>{{ compared | safe }}
<p class="note">{{ compared_note }}</p></section>{% endif %}
<section><h2>Who was there</h2>{{ presence | safe }}
{% if incidents %}<table><tr><th class="n">round</th><th>who</th><th></th><th>why</th></tr>
{% for entry in incidents %}<tr><td class="n">{{ entry.round }}</td><td>{{ entry.name }}</td><td>{{ entry.kind }}</td>
<td>{{ entry.why }}</td></tr>{% endfor %}</table>
{% else %}<p class="note">Every worker answered in every round, and nothing was refused.</p>{% endif %}</section>
<section><h2>Bytes and time</h2>{{ traffic | safe }}
<p class="note">{{ traffic_note }}</p></section>
<section><h2>Workers</h2><table><tr><th class="n">worker</th><th>device</th><th class="n">samples</th>
<th class="n">rounds</th><th class="n">last training accuracy</th><th class="n">last test accuracy</th>
<th class="n">seconds</th><th class="n">kB up</th><th class="n">kB down</th></tr>
{% for row in workers %}<tr>{% for cell in row %}<td{% if loop.index0 != 1 %} class="n"{% endif %}>{{ cell }}</td>
{%- endfor %}</tr>{% endfor %}</table></section>
<section><h2>Settings</h2><table>
{% for name, value in settings %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table></section>
<footer>{{ footer }}</footer>
</main></body></html>
"""


def percent(value: float | None) -> str:
    """A share as text; a dash for None and for NaN."""
    return "–" if value is None or value != value else f"{100 * value:.2f} %"


def _row(result: Result, worker: int) -> list:
    key, name = str(worker), f"worker {worker}"
    entries = [record["workers"][key] for record in result.records if key in record["workers"]]
    last = entries[-1] if entries else {}
    up, down = (sum(record[way].get(key, 0) for record in result.records) / 1000 for way in ("up", "down"))
    refused = sum(entry["name"] == name and entry["kind"] == "refused" for entry in result.incidents())
    return [worker, result.devices[worker], f"{last.get('num-examples', 0):,}",
            f"{len(entries)}" + (f" ({refused} refused)" if refused else ""), percent(last.get("accuracy")),
            percent(last.get("test-accuracy")), f"{sum(entry['seconds'] for entry in entries):.1f}", f"{up:,.1f}",
            f"{down:,.1f}"]


def write_report(path: Path, result: Result) -> None:
    """Writes the report of `result`; the file is whole or absent."""
    run_report.require_report()
    from jinja2 import Environment

    from ..report.page import HEAD
    from . import figures
    settings, records = result.settings, result.records
    trained = [record for record in records if record["round"]]
    network = settings.build_network()
    cards = [(percent(result.test_accuracy), "test accuracy of the global weights"), (f"{settings.workers}", "workers"),
             (f"{len(trained)}", "rounds"), (f"{(result.total('up') + result.total('down')) / 1e6:,.2f} MB", "sent"),
             (f"{result.seconds:.1f} s", "time")]
    left_out = " of the speakers left out" if settings.split == "speaker" else ""
    compared_note = ""
    if result.compared:
        compared_note = (f"Test accuracy{left_out} after {result.compared['epochs']} epochs each: the federation, the "
                         "same training on all samples on one device, and every worker on its own samples alone (bar: "
                         "their mean; dots: each).")
    wire = [sum(sum(pair) for pair in record["wire"].values()) for record in trained if "wire" in record]
    traffic_note = ("Bytes of the messages as Flower serialises them, all workers together, each measured when it was "
                    "sent or came.")
    if wire:
        traffic_note += (f" The workers' TCP connections carried {sum(wire) / 1e6:,.2f} MB in these rounds, polls and "
                         f"{'TLS' if result.secure else 'HTTP'} included.")
    values = [("strategy", settings.strategy), ("engine", result.engine + (", TLS and keys" if result.secure else "")),
              ("network", f"{network}, {network.steps} steps")]
    values += [(name.replace("_", " "), value) for name, value in asdict(settings).items()
               if name not in ("network", "training", "strategy")]
    values += [(name.replace("_", " "), value) for name, value in settings.training.items()]
    values += [("SHA-256 of the final words", result.digest)]
    page = Environment(autoescape=True).from_string(HEAD + TEMPLATE).render(
        title=f"{settings.data.partition(':')[0]}: {network}, {settings.workers} workers",
        subtitle="Federated training by back-propagation through time: every worker on its own device and its own "
                 "data, aggregation exact and rounded once", cards=cards,
        accuracy=figures.accuracy(records, settings.workers),
        accuracy_note=f"Test accuracy{left_out} of the global weights after each round (dark), and of each worker's "
                      "own weights after its local training (pale).",
        compared=figures.compared(result) if result.compared else "", compared_note=compared_note,
        presence=figures.presence(result), incidents=result.incidents(), traffic=figures.traffic(trained),
        traffic_note=traffic_note, workers=[_row(result, worker) for worker in range(settings.workers)],
        settings=values, footer=run_report.footer())
    write_text(path, page)
