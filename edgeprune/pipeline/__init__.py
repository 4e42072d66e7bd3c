"""The whole line, from a model to a report.

compress.py             one call a stage
stage_calls.py          the stages as one calls them from Python
benchmark_call.py       and measuring
config.py               every setting
settings.py             settings as one writes them in Python
rebuilding.py           networks whose code writes out channel counts
compared_outputs.py     what the compressed network keeps of the outputs
export_and_measure.py   the stages after recovery: files, and how fast they run
precision.py            which precision is delivered
precision_preview.py    what a dry run says of that
mixing.py               a quantized file whose slow layers stay float
stage_log.py            how long each stage took, and how it went
result.py               what a run leaves behind
"""
