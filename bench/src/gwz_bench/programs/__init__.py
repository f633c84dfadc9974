"""The programs that run as processes of their own: `python -m gwz_bench.programs.<name>`."""
