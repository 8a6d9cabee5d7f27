"""Several processes that train one net: columns, replicas, both, and one weird trick."""
