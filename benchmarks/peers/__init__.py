"""Two other queues over PostgreSQL, measured beside ours in the same run; `make bench-peers` installs them apart."""
