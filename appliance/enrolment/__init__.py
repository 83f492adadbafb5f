"""The first docking: a unit without a certificate makes its key, shows a code, and becomes a unit of its authority."""
