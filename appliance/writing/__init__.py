"""From packets to a sealed clip on the storage, on a thread that no camera waits for."""
