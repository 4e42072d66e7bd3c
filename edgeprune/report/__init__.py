"""The findings of a run, as a document: report.json for machines, a table and report.md for people.

    document.py     the schema of report.json; measured.py its parts on what was measured
    figures.py      the figures of a model: where each is, how it is written, where it is shown
    files.py        reading and writing it
    assemble.py     the artifacts of a run → document
    coverage.py     how much of a network pruning can reach; covered.py its part of the schema
    compare.py      the parts of it: before, after, and their ratios
    layers.py       what each layer had and has left
    baseline.py     this report against an earlier one
    gates.py        --fail-if expressions over the document
    paths.py        which numbers a document has, where, and of what kind
    rows.py         document → titled rows of text
    sentences.py    the sentences in them; findings.py those of what recovery methods did
    formats.py      rows → console table, Markdown; the table of formats
    html/           the page with plots
    junit.py        gates as test cases; benchmark_json.py writes latencies as pytest-benchmark does
    model_file.py   facts about a model file
    environment.py  the machine and the packages that made the figures

Nothing here imports torch: a report is read and judged on machines that have none.
"""
