"""report.html: the report as one page that needs no network, for a screen of any size.

    headline.py   the figures that decide in large, and the verdicts
    plots.py      layers, latencies, losses, memory, as drawings of matplotlib
    drawing.py    a drawing as SVG that takes its colours from the page
    page.py       all of it and the tables of rows.py, laid out by a template
    templates/    the page, its style sheet, and the script that switches light and dark

Importing it takes a second: matplotlib and jinja2 are loaded only where a page is made.
"""
