"""The worn unit: camera, ring, recorder, spool and offload, led by one table of states."""
