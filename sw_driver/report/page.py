"""The page of the report. It loads nothing: styles and figures are in it."""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  body { margin: 0; background: #f5f7fa; color: #1f2933;
    font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  main { max-width: 860px; margin: 0 auto; padding: 32px 20px 64px }
  h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 16px; margin: 0 0 10px }
  .sub { color: #616e7c; margin: 0 0 24px }
  .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 16px }
  .card, section { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px }
  .card { padding: 12px 16px } .card b { display: block; font-size: 24px; font-variant-numeric: tabular-nums }
  .card span { color: #616e7c; font-size: 13px }
  section { padding: 18px 20px; margin-bottom: 16px } section svg { width: 100%; height: auto; display: block }
  section .square svg { width: auto; max-width: 100% }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px }
  th { text-align: left; color: #616e7c; font-weight: 500 }
  th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid #eef1f4 }
  td.n, th.n { text-align: right } tr:last-child td { border-bottom: 0 }
  .note { color: #616e7c; margin: 0 } .warn { color: #b44d12 }
  footer { color: #7b8794; font-size: 13px }
</style>
</head>
<body><main>
"""

TEMPLATE = HEAD + """<h1>{{ title }}</h1>
<p class="sub">{{ subtitle }}</p>
<div class="cards">{% for value, label in cards %}
  <div class="card"><b>{{ value }}</b><span>{{ label }}</span></div>{% endfor %}
</div>
<section><h2>Learning curve</h2>{{ curve | safe }}
{% for line in warnings %}<p class="note warn">{{ line }}</p>{% endfor %}</section>
<section><h2>Spikes of one sample</h2><p class="note">{{ raster_note }}</p>{{ raster | safe }}</section>
{% if schedule %}<section><h2>Who worked when</h2>{{ schedule | safe }}
<p class="note">The chip's own record of the end of its first batch.</p></section>{% endif %}
<section><h2>Use of the engines</h2>{% if engines %}{{ engines | safe }}
<table><tr><th>engine</th>
{%- for name in counter_names %}<th class="n">{{ name }}</th>{% endfor %}</tr>
{% for engine, values in counters.items() %}<tr><td>{{ engine }}</td>
{%- for name in counter_names %}<td class="n">{{ "{:,}".format(values[name]) if name in values }}</td>{% endfor %}</tr>
{% endfor %}</table>{% else %}<p class="note">The device {{ device }} has no clock, so there are no cycles to count.
Train on sim or on a board to see how long each engine worked, waited and skipped.</p>{% endif %}</section>
<section><h2>Confusion matrix</h2><p class="note">{{ confusion_note }}</p>
<div class="square">{{ confusion | safe }}</div></section>
<section><h2>Network</h2><table>
<tr><th>layer</th><th class="n">inputs</th><th class="n">neurons</th>
{%- for name in ["kind", "decay", "threshold", "surrogate", "reset"] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in layers %}<tr><td>{{ loop.index0 }}</td><td class="n">{{ row.inputs }}</td>
<td class="n">{{ row.outputs }}</td><td>{{ row.kind }}</td><td>{{ row.decay }}</td>
<td>{{ row.threshold }}</td><td>{{ row.surrogate }}</td><td>{{ row.reset }}</td></tr>
{% endfor %}</table></section>
<section><h2>Settings</h2><table>
{% for name, value in settings %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table></section>
<footer>{{ footer }}</footer>
</main></body></html>
"""
