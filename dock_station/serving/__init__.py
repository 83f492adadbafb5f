"""How both doors of the dock are served: HTTP over TLS, in this process."""
