"""Floor 2: the log, the checkpoint and redo, on LMDB.  No Trio, no sockets."""
