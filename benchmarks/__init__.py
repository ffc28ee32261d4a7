"""What gradewatch must be able to do, measured: `python -m benchmarks [NAME…]`. docs/benchmarks.md says what they mean.

Each module `bench_NAME` has a `run()`, plain or async, that returns its entries of the report.
"""
