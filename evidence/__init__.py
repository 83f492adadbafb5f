"""What passes between the worn unit and the dock: the sealed clip, its manifest, the receipt, the upload protocol."""
