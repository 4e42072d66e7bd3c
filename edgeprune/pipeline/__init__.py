"""The whole line, from a model to a report.

compress.py             one call a stage
config.py               every setting
export_and_measure.py   the stages after recovery: files, and how fast they run
precision.py            which precision is delivered
mixing.py               a quantized file whose slow layers stay float
stage_log.py            how long each stage took, and how it went
result.py               what a run leaves behind
"""
